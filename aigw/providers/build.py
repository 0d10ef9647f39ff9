"""From what the settings say of a provider to the provider that serves."""

from __future__ import annotations

from aigw.provider_settings import ProviderSettings
from aigw.providers.bedrock import Bedrock
from aigw.providers.call import ApiKey
from aigw.providers.key_pool import KeyPool
from aigw.providers.provider import Provider
from aigw.providers.types import TYPES


def build_provider(settings: ProviderSettings) -> Provider:
    """The provider that the settings describe."""
    kind = TYPES[settings.type]
    credentials = [ApiKey(key, kind.key_header) for key in settings.keys if key]
    return Provider(
        type=kind,
        name=settings.name,
        base_url=settings.base_url.rstrip("/"),
        pool=KeyPool(credentials, settings.key_cooldown.total_seconds()) if credentials else None,
        headers=settings.headers,
        allow_byok=settings.allow_byok,
        bedrock=Bedrock(settings.bedrock) if settings.bedrock else None,
    )
