"""Which model of Bedrock's is meant, and what it accepts."""

from __future__ import annotations

import re
from typing import NamedTuple

from aigw.patterns import matches
from aigw.provider_settings import BedrockSettings
from aigw.providers.bedrock_table import FAMILIES, NEWEST, VENDORS, Family

_ARN = re.compile(r"arn:aws[a-z-]*:(?:bedrock|sagemaker):.", re.DOTALL)
# `us.`, `us-gov.`, `apac.`, `global.`: where an inference profile may send a request.
_GEOGRAPHY = r"[a-z]{2,6}(?:-gov)?\."
_VENDOR = rf"(?:{'|'.join(sorted(VENDORS))})\."
_ID = re.compile(rf"(?:{_GEOGRAPHY})?{_VENDOR}.", re.DOTALL)
_PROFILE = re.compile(rf"{_GEOGRAPHY}(?={_VENDOR})")
_COUNTED_ARN = re.compile(r"arn:[^/]*:(?:foundation-model|inference-profile)/([^/]+)")


class ModelChoice(NamedTuple):
    """The model to ask, and the rule that chose it; None where it is the one that was asked for."""

    model: str
    rule: str | None


def choose_model(settings: BedrockSettings, requested: str) -> ModelChoice:
    """The Bedrock model for a requested name.

    In this order: the configured table; a name that is Bedrock's already; with `pass_unknown` any
    name that is not Claude's; the small fast model for a haiku; the model.
    """
    chosen, rule = _choose(settings, requested)
    return ModelChoice(chosen, None if chosen == requested else rule)


def _choose(settings: BedrockSettings, requested: str) -> tuple[str, str]:
    for pattern, model in settings.models.items():
        if matches(pattern, requested):
            return model, f"bedrock table {pattern}"
    if is_bedrock_id(requested):
        return requested, ""
    if "haiku" in requested.lower():
        return settings.small_fast_model, "bedrock small fast model"
    # A name of dots alone would be part of the path's structure, not of its content.
    if settings.pass_unknown and requested.strip(".") and "claude" not in requested.lower():
        return requested, ""
    return settings.model, "bedrock model"


def is_bedrock_id(name: str) -> bool:
    """Whether a name is that of a model, an inference profile or an ARN on Bedrock."""
    return bool(_ARN.match(name) or _ID.match(name))


def family_of(model: str, requested: str) -> Family:
    """What a model accepts. An ARN may say nothing about its model: then the requested name does."""
    name = model if "claude" in model.lower() else requested
    for family in FAMILIES:
        if any(matches(pattern, name) for pattern in family.patterns):
            return family
    return NEWEST


def counted_model(model: str) -> str | None:
    """The id by which tokens are counted: CountTokens knows foundation models only, no profiles.

    None for an ARN that does not name its model (an application inference profile, for example).
    """
    if model.startswith("arn:"):
        found = _COUNTED_ARN.fullmatch(model)
        if found is None:
            return None
        model = found[1]
    return _PROFILE.sub("", model, count=1) if _PROFILE.match(model) else model
