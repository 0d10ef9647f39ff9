"""Where an AWS identity comes from: configured keys, a Bedrock API key, or AWS's own chain."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from typing import Any

from aigw.errors import ConfigError, UpstreamError
from aigw.provider_settings import BedrockSettings
from aigw.providers.bedrock_endpoint import INSTALL_HINT, Endpoint, endpoint_of
from aigw.providers.bedrock_signing import AwsIdentity
from aigw.providers.call import ApiKey, CentralCredential
from aigw.secrets import Secret

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""A Bedrock API key: AWS's own tools prefer it to every identity that is not configured by name."""

_log = logging.getLogger("aigw.providers")


def aws_credentials(settings: BedrockSettings) -> list[CentralCredential]:
    """The credentials of a configuration, in the order in which they are tried.

    One for each configured pair of keys; else the Bedrock API key of the environment, unless a
    profile is named; else one identity, which AWS's chain finds: environment, profile (with SSO,
    assumed roles, processes), web identity, container, instance. Nothing is asked yet.

    Raises:
        ConfigError: there is no region, no botocore, or a value that cannot be one.
    """
    endpoint = endpoint_of(settings)
    if settings.access_keys:
        _require_botocore()
        return [_static(settings, key, secret, endpoint) for key, secret in settings.access_keys]
    token = os.environ.get(BEARER_VARIABLE, "").strip()
    if token and not settings.profile:
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ConfigError(f"{BEARER_VARIABLE} has characters that no Bedrock API key has")
        _log.info("Bedrock: using the API key of %s", BEARER_VARIABLE)
        return [ApiKey(Secret(token, f"env:{BEARER_VARIABLE}"), ("Authorization", "Bearer {}"))]
    _require_botocore()
    return [_chain(settings.profile, endpoint)]


def _static(
    settings: BedrockSettings, key: Secret, secret: Secret, endpoint: Endpoint
) -> AwsIdentity:
    values = (key.reveal(), secret.reveal(), (settings.session_token or Secret()).reveal())

    def look(_previous: Any) -> tuple[Any, Any]:
        from botocore.credentials import Credentials  # noqa: PLC0415 (an extra, slow to import)

        found = Credentials(values[0], values[1], values[2] or None, method="aigw")
        return found, found.get_frozen_credentials()

    # The secret is part of the name: a corrected one makes another credential at a reload.
    return AwsIdentity(look, endpoint, f"aws:{':'.join(values)}", values[0])


def _chain(profile: str, endpoint: Endpoint) -> AwsIdentity:
    def look(previous: Any) -> tuple[Any, Any]:
        try:
            found = previous or _search(profile, endpoint.region)
            frozen = None if found is None else found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 (whatever a service answers that botocore trusts)
            what = "cannot be renewed" if previous else "cannot be found"
            message = f"AWS credentials {what}: {_cause(error)}"
            raise UpstreamError(502, "no_aws_credentials", message) from None
        if frozen is None:
            raise UpstreamError(502, "no_aws_credentials", _nothing_found(profile))
        return found, frozen

    return AwsIdentity(look, endpoint, f"aws-chain:{profile}:{endpoint.region}")


def _search(profile: str, region: str) -> Any:
    from botocore.session import Session  # noqa: PLC0415 (an extra, slow to import)

    session = Session(profile=profile or None)
    # Where roles are assumed, their service is asked in this region.
    session.set_config_variable("region", region)
    return session.get_credentials()


def _nothing_found(profile: str) -> str:
    named = f"the profile {profile!r}" if profile else "AWS_ACCESS_KEY_ID, the profile"
    return (
        f"no AWS credentials found: looked at {named} in ~/.aws, SSO, web identity, the container's "
        "and the instance's role. Run `aws configure` or `aws sso login`, set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or give the gateway --aibridge-bedrock-access-key and its secret"
    )


def _cause(error: Exception) -> str:
    """The cause by its kind: messages may hold what a credential process printed."""
    from botocore import exceptions  # noqa: PLC0415 (an extra)

    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError):
        return "the SSO login has expired or is missing; run `aws sso login`"
    if isinstance(error, exceptions.ProfileNotFound | exceptions.ConfigNotFound):
        return str(error)
    if isinstance(error, exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        return f"AWS refused it ({re.sub(r'[^A-Za-z0-9.]', '', str(code))[:60] or 'no code'})"
    return type(error).__name__


def _require_botocore() -> None:
    if importlib.util.find_spec("botocore") is None:
        raise ConfigError(INSTALL_HINT)
    # At debug level botocore logs signed headers, session tokens among them; its warnings repeat
    # what our errors say, with a traceback.
    logging.getLogger("botocore").setLevel(logging.ERROR)
