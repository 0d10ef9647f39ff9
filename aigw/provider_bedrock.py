"""What settings of Amazon Bedrock mean together, and what cannot be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aigw.given import ValueReader, is_set
from aigw.provider_settings import BedrockSettings
from aigw.provider_types import aws_domain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aigw.provider_drafts import Draft
    from aigw.secrets import Secret

_PLAIN = ("profile", "model", "small_fast_model", "models", "protocol", "pass_unknown")
"""Settings that are taken over as they are."""

# bedrock-runtime.us-east-1.amazonaws.com, its FIPS and VPC endpoint forms, and Mantle's
# (https://docs.aws.amazon.com/general/latest/gr/bedrock.html).
_HOST = re.compile(
    r"(?:.+\.)?bedrock-(?:runtime(?:-fips)?|mantle)\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d+)\..+"
)


def uses_bedrock(draft: Draft) -> bool:
    """Whether a provider is one of Amazon Bedrock's: by its type, or by a setting of Bedrock."""
    return draft.values["type"] == "bedrock" or any(
        is_set(value) if hasattr(value, "reference") else bool(value)
        for name, value in draft.values.items()
        if name.startswith("bedrock_")
    )


def bedrock_settings(draft: Draft, reader: ValueReader) -> BedrockSettings:
    """The settings of a provider that `uses_bedrock`; what is wrong is in the reader's problems."""
    values = draft.values
    base_url = _base_url(draft, reader)
    access_keys = _access_keys(draft, reader)
    token = values.get("bedrock_session_token")
    if token is not None and is_set(token) and len(access_keys) != 1:
        reader.problems.append(
            f"{draft.at('bedrock_session_token')}: a session token goes with one access key and "
            "its secret"
        )
    if values.get("bedrock_profile") and access_keys:
        reader.problems.append(
            f"{draft.at('bedrock_profile')}: a profile and access keys are both given: keep one"
        )
    for setting in ("bedrock_model", "bedrock_small_fast_model"):
        if not values.get(setting, "default"):
            reader.problems.append(
                f"{draft.at(setting)}: region without model: name a Bedrock model, or leave the "
                "setting out for the default"
            )
    # A profile may have a region of its own, which AWS's library finds.
    elsewhere = bool(base_url or values.get("bedrock_profile"))
    region = _region(draft, base_url, reader, needed=bool(access_keys) or not elsewhere)
    given = {name: values[f"bedrock_{name}"] for name in _PLAIN if f"bedrock_{name}" in values}
    return BedrockSettings(
        region=region, base_url=base_url, access_keys=access_keys, session_token=token, **given
    )


def bedrock_address(bedrock: BedrockSettings) -> str:
    """Where requests go, to be shown."""
    if bedrock.base_url or not bedrock.region:
        return bedrock.base_url
    if bedrock.protocol == "mantle":
        return f"https://bedrock-mantle.{bedrock.region}.api.aws/anthropic"
    return f"https://bedrock-runtime.{bedrock.region}.{aws_domain(bedrock.region)}"


def region_of_aws(environ: Mapping[str, str]) -> str:
    """The region that AWS's own variables name, as botocore reads them; empty when none does."""
    return environ.get("AWS_REGION", "").strip() or environ.get("AWS_DEFAULT_REGION", "").strip()


def _base_url(draft: Draft, reader: ValueReader) -> str:
    own = draft.values.get("bedrock_base_url") or ""
    general = draft.values.get("base_url") or ""
    if general and draft.values["type"] != "bedrock":
        reader.problems.append(
            f"{draft.at('base_url')}: requests go to Amazon Bedrock: give its address as "
            f"{draft.label('bedrock_base_url')}, or none"
        )
    elif general and own and general != own:
        reader.problems.append(
            f"{draft.at('base_url')} and {draft.at('bedrock_base_url')} say different things: "
            "set only one"
        )
    return (own or general).rstrip("/")


def _region(draft: Draft, base_url: str, reader: ValueReader, *, needed: bool) -> str:
    given: str = draft.values.get("bedrock_region") or ""
    if given.strip():
        if not re.fullmatch(r"[a-z0-9-]+", given.strip(), re.ASCII):
            reader.problems.append(
                f"{draft.at('bedrock_region')}: {given.strip()!r} is not an AWS region, as us-east-1"
            )
        return given.strip()
    match = _HOST.fullmatch(urlsplit(base_url).hostname or "")
    region = match["region"] if match else region_of_aws(reader.environ)
    if needed and not region:
        what = "access keys without a region" if base_url else "no AWS region"
        reader.problems.append(
            f"{draft.place}: {what}: set {draft.label('bedrock_region')}, or AWS_REGION"
        )
    return region


def _access_keys(draft: Draft, reader: ValueReader) -> tuple[tuple[Secret, Secret], ...]:
    """The pairs, of one setting or of the two lists."""
    ids = _one_or_many(draft, "bedrock_access_key", reader)
    secrets = _one_or_many(draft, "bedrock_access_key_secret", reader)
    if len(ids) == len(secrets):
        return tuple(zip(ids, secrets, strict=True))
    if not ids or not secrets:
        given, missing = "bedrock_access_key", "bedrock_access_key_secret"
        if not ids:
            given, missing = missing, given
        given = given if is_given(draft, given) else f"{given}s"
        missing = missing if given.removesuffix("s") == given else f"{missing}s"
        reader.problems.append(
            f"{draft.at(given)}: half of a pair of credentials: {draft.label(missing)} is not given"
        )
    else:
        reader.problems.append(
            f"{draft.place}: {len(ids)} AWS access keys, but {len(secrets)} secrets: each needs "
            "its own"
        )
    return ()


def _one_or_many(draft: Draft, setting: str, reader: ValueReader) -> tuple[Secret, ...]:
    many: tuple[Secret, ...] = draft.values.get(f"{setting}s", ())
    if not is_given(draft, setting):
        return many
    if many:
        reader.problems.append(
            f"{draft.at(setting)} and {draft.at(f'{setting}s')} are both given: keep one"
        )
    return (draft.values[setting],)


def is_given(draft: Draft, setting: str) -> bool:
    """Whether a secret was given, and not as the empty text."""
    secret = draft.values.get(setting)
    return secret is not None and is_set(secret)
