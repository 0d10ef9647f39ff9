"""A configured provider as it is shown: every secret masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigw.durations import format_duration
from aigw.option_values import text_of
from aigw.provider_options import PROVIDER_OPTIONS
from aigw.secrets import mask
from aigw.settings import shown_secret

if TYPE_CHECKING:
    from aigw.provider_settings import BedrockSettings, ProviderSettings

_ALWAYS = ("type", "name", "enabled", "base_url")
_SPELLED_OUT = {"keys": "key", "bedrock_access_keys": "bedrock_access_key"}
"""Lists, and the settings for a single one of them."""


def shown_settings(provider: ProviderSettings) -> dict[str, Any]:
    """A provider's settings as JSON values, by the table's names; those of another type left out."""
    shown = _shown(provider)
    if provider.bedrock is not None:
        shown |= _shown_bedrock(provider.bedrock)
    return {option.name: shown[option.name] for option in PROVIDER_OPTIONS if option.name in shown}


def _shown(provider: ProviderSettings) -> dict[str, Any]:
    return {
        "type": provider.type,
        "name": provider.name,
        "enabled": provider.enabled,
        "base_url": provider.base_url,
        "keys": [shown_secret(key) for key in provider.keys],
        "key_cooldown": format_duration(provider.key_cooldown),
        "headers": {name: mask(value) or "not read" for name, value in provider.headers.items()},
        "allow_models": list(provider.allow_models),
        "deny_models": list(provider.deny_models),
        "model_aliases": dict(provider.model_aliases),
        "allow_byok": provider.allow_byok,
    }


def _shown_bedrock(bedrock: BedrockSettings) -> dict[str, Any]:
    token = bedrock.session_token
    return {
        "bedrock_region": bedrock.region,
        "bedrock_base_url": bedrock.base_url,
        "bedrock_profile": bedrock.profile,
        "bedrock_access_keys": [shown_secret(key) for key, _ in bedrock.access_keys],
        "bedrock_session_token": shown_secret(token) if token else "",
        "bedrock_model": bedrock.model,
        "bedrock_small_fast_model": bedrock.small_fast_model,
        "bedrock_models": dict(bedrock.models),
        "bedrock_protocol": bedrock.protocol,
        "bedrock_pass_unknown": bedrock.pass_unknown,
    }


def origin_of(provider: ProviderSettings, setting: str) -> str:
    """Where a setting's value came from: `default`, or as `settings.Origin` has it."""
    given = provider.origins
    return given.get(setting) or given.get(_SPELLED_OUT.get(setting, "")) or "default"


def setting_rows(provider: ProviderSettings) -> list[tuple[str, str, str]]:
    """What matters of a provider, as setting, text and origin: what was given, and what it is."""
    rows = []
    for name, value in shown_settings(provider).items():
        came = origin_of(provider, name)
        if name in _ALWAYS or came != "default":
            text = text_of(tuple(value) if isinstance(value, list) else value)
            rows.append((f"providers.{provider.name}.{name}", text, came))
    return rows


def credentials_text(provider: ProviderSettings) -> list[str]:
    """The central credentials masked, one a text; none where clients bring their own."""
    keys = [shown_secret(key) for key in provider.keys]
    bedrock = provider.bedrock
    if keys or bedrock is None:
        return keys
    if bedrock.access_keys:
        return [shown_secret(key) for key, _ in bedrock.access_keys]
    if bedrock.profile:
        return [f"AWS profile {bedrock.profile}"]
    return ["AWS's own chain"]
