"""From what the settings say of a provider to the provider that serves."""

from __future__ import annotations

from aigw.provider_settings import ProviderSettings
from aigw.providers.bedrock import Bedrock
from aigw.providers.call import ApiKey, CentralCredential
from aigw.providers.key_pool import KeyPool, PoolObserver
from aigw.providers.model_rules import ModelRules
from aigw.providers.provider import Provider, ProviderType
from aigw.providers.types import TYPES


def build_provider(settings: ProviderSettings, observer: PoolObserver | None = None) -> Provider:
    """The provider that the settings describe; `observer` is told of what happens to its keys.

    Which keys rest is not taken over from a provider before it: that is done when the new one comes
    into use (`KeyPool.adopt`), and what is built here may yet be thrown away.

    Raises:
        ConfigError: AWS settings do not say where or as whom to ask, or AWS's library is missing.
    """
    kind = type_of(settings)
    bedrock = None if settings.bedrock is None else Bedrock(settings.bedrock)
    return Provider(
        type=kind,
        name=settings.name,
        base_url=_base_url(settings, kind, bedrock).rstrip("/"),
        pool=_pool(settings, kind, observer),
        headers=settings.headers,
        rules=_rules(settings),
        allow_byok=settings.allow_byok,
        bedrock=bedrock,
    )


def type_of(settings: ProviderSettings) -> ProviderType:
    """How the provider's API is served: whatever has Bedrock settings is served by Bedrock."""
    return TYPES["bedrock" if settings.bedrock else settings.type]


def _base_url(settings: ProviderSettings, kind: ProviderType, bedrock: Bedrock | None) -> str:
    if bedrock is None:
        return settings.base_url or kind.base_url
    return bedrock.endpoint.mantle_url if bedrock.is_mantle else bedrock.endpoint.runtime_url


def _pool(
    settings: ProviderSettings, kind: ProviderType, observer: PoolObserver | None
) -> KeyPool | None:
    """The central credentials; None where clients bring their own."""
    credentials: list[CentralCredential]
    keys = [key for key in settings.keys if key]
    if settings.bedrock is not None and settings.type != kind.name:
        # Those of an `anthropic` provider are Anthropic's, and never go to AWS.
        keys = []
    if settings.bedrock is not None and not keys:
        # AWS's library is large, and only there with the extra: loaded by whom it serves.
        from aigw.providers.bedrock_credentials import aws_credentials  # noqa: PLC0415

        credentials = aws_credentials(settings.bedrock)
    else:
        credentials = [ApiKey(key, kind.key_header) for key in keys]
    if not credentials or kind.is_personal:
        return None
    cooldown = settings.key_cooldown.total_seconds()
    return KeyPool(credentials, cooldown, settings.name, observer)


def _rules(settings: ProviderSettings) -> ModelRules | None:
    rules = ModelRules(
        settings.allow_models, settings.deny_models, settings.model_aliases, settings.name
    )
    return rules if rules.needs_single_model else None
