"""What the settings of one provider mean together, and what cannot be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aigw.given import ValueReader
from aigw.option_values import read_header, shown
from aigw.options import nearest
from aigw.provider_bedrock import bedrock_address, bedrock_settings, is_given, uses_bedrock
from aigw.provider_options import PROVIDER_OPTIONS
from aigw.provider_settings import BedrockSettings, ProviderSettings
from aigw.provider_types import CHATGPT_BASE_URL, PROVIDER_TYPES, RESERVED_NAMES

if TYPE_CHECKING:
    from aigw.provider_drafts import Draft
    from aigw.secrets import Secret

# Coder's gateway has the same rule, and the message that goes with it.
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_PLAIN = ("enabled", "key_cooldown", "allow_models", "deny_models", "model_aliases")
"""Settings that are taken over as they are."""


def settle(draft: Draft, reader: ValueReader, *, allow_byok: bool) -> ProviderSettings | None:
    """The provider that a draft describes; None where not even its type is known.

    What is wrong is in the reader's problems. `allow_byok` counts where the provider says nothing.
    """
    _check_name(draft, reader)
    if not _has_type(draft, reader):
        return None
    kind = _settled_type(draft)
    if not _check_applicable(draft, kind, reader):
        return None
    bedrock = bedrock_settings(draft, reader) if kind == "bedrock" else None
    _check_headers(draft, reader)
    _check_models(draft, reader)
    values = draft.values
    given: dict[str, Any] = {name: values[name] for name in _PLAIN if name in values}
    return ProviderSettings(
        type=kind,
        name=draft.name,
        base_url=_base_url(draft, kind, bedrock, reader),
        keys=_keys(draft, kind, bedrock, reader),
        headers=values.get("headers", {}),
        allow_byok=values.get("allow_byok", allow_byok),
        bedrock=bedrock,
        origins=dict(draft.origins),
        **given,
    )


def _check_name(draft: Draft, reader: ValueReader) -> None:
    name = draft.name
    if not name and "name" not in draft.values:
        return  # it has no type either, which is said
    if not _NAME.fullmatch(name):
        if "name" in draft.values:
            reader.problems.append(
                f'{draft.at("name")}: invalid provider name "{shown(name)[1:-1]}": must contain '
                "only lowercase alphanumeric characters and hyphens"
            )
    elif name in RESERVED_NAMES:
        reader.problems.append(
            f'{draft.at("name")}: provider name "{name}" belongs to a page of the gateway\'s own: '
            "choose another"
        )


def _has_type(draft: Draft, reader: ValueReader) -> bool:
    kind = draft.values.get("type", "")
    if kind in PROVIDER_TYPES:
        return True
    known = ", ".join(PROVIDER_TYPES)
    if kind:
        hint = nearest(kind, PROVIDER_TYPES) or f": use one of {known}"
        reader.problems.append(f"{draft.at('type')}: unknown provider type {shown(kind)}{hint}")
    elif "type" not in draft.values or kind == "":
        reader.problems.append(
            f"{draft.place}: has no type: set {draft.label('type')} to one of {known}"
        )
    return False


def _settled_type(draft: Draft) -> str:
    """The type that counts: names and settings can make another one of what was given."""
    kind: str = draft.values["type"]
    if kind == "anthropic" and uses_bedrock(draft):
        return "bedrock"
    # Coder's convention for a ChatGPT plan.
    base_url = (draft.values.get("base_url") or CHATGPT_BASE_URL).rstrip("/")
    if kind == "openai" and draft.name == "chatgpt" and base_url == CHATGPT_BASE_URL:
        return "chatgpt"
    return kind


def _check_applicable(draft: Draft, kind: str, reader: ValueReader) -> bool:
    """Whether the type has every setting that was given."""
    fine = True
    for option in PROVIDER_OPTIONS:
        if option.name not in draft.values or not option.types or kind in option.types:
            continue
        fine = False
        if PROVIDER_TYPES[kind].is_personal:
            reader.problems.append(
                f"{draft.at(option.name)}: providers of type {kind} are used with each user's own "
                "login and have no key: remove it"
            )
        else:
            reader.problems.append(
                f"{draft.at(option.name)}: only providers of type "
                f"{' or '.join(option.types)} have this setting, and this one's is {kind}"
            )
    return fine


def _keys(
    draft: Draft, kind: str, bedrock: BedrockSettings | None, reader: ValueReader
) -> tuple[Secret, ...]:
    """The central keys, each once."""
    keys: tuple[Secret, ...] = draft.values.get("keys", ())
    place = draft.at("keys")
    if is_given(draft, "key"):
        if keys:
            reader.problems.append(f"{draft.at('key')} and {place} are both given: keep one")
        keys, place = (draft.values["key"],), draft.at("key")
    if not keys:
        return ()
    if kind != draft.values["type"] and bedrock is not None:
        reader.problems.append(
            f"{place}: requests go to Amazon Bedrock, which must not get an Anthropic key: remove "
            "it. The keys of a provider of type bedrock are Bedrock API keys."
        )
    elif bedrock is not None and bedrock.access_keys:
        reader.problems.append(
            f"{place}: Bedrock API keys and AWS access keys are both given: keep one kind"
        )
    distinct = tuple(dict.fromkeys(key for key in keys if key))
    if len(distinct) < sum(map(bool, keys)):
        reader.warnings.append(f"{place}: a key is given twice; it is used once")
        return distinct
    return keys


def _base_url(draft: Draft, kind: str, bedrock: BedrockSettings | None, reader: ValueReader) -> str:
    if bedrock is not None:
        return bedrock_address(bedrock)
    given: str = draft.values.get("base_url") or PROVIDER_TYPES[kind].base_url
    if not given:
        reader.problems.append(
            f"{draft.place}: a provider of type {kind} needs a base URL: set "
            f"{draft.label('base_url')}"
        )
    return given.rstrip("/")


def _check_headers(draft: Draft, reader: ValueReader) -> None:
    seen: dict[str, str] = {}
    for name, value in draft.values.get("headers", {}).items():
        problem = ""
        try:
            if not read_header(name):
                problem = "a header without a name"
        except ValueError as error:
            problem = str(error)
        if not problem and (first := seen.setdefault(name.lower(), name)) != name:
            problem = f"{first!r} and {name!r} are the same header"
        if not problem and re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            problem = f"the value of {shown(name)} has a line break or another control character"
        if problem:
            reader.problems.append(f"{draft.at('headers')}: {problem}")


def _check_models(draft: Draft, reader: ValueReader) -> None:
    """No pattern or alias is empty: what it would match is anybody's guess."""
    for setting in ("allow_models", "deny_models"):
        if not all(pattern.strip() for pattern in draft.values.get(setting, ())):
            reader.problems.append(f"{draft.at(setting)}: a pattern is empty")
    for setting in ("model_aliases", "bedrock_models"):
        for name, model in draft.values.get(setting, {}).items():
            if not name.strip() or not model.strip():
                reader.problems.append(
                    f"{draft.at(setting)}: {shown(name)} = {shown(model)}: both need a model's name"
                )
