"""What a configured provider is, as the settings have it: plain values, nothing that acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aigw.secrets import Secret

KEY_COOLDOWN = timedelta(seconds=60)
"""How long a key that a provider refused rests, unless the provider says when to come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockSettings:
    """Where and how Amazon Bedrock is asked.

    Attributes:
        region: AWS region; empty only where `base_url` or `profile` is given, and then AWS's choice.
        base_url: the runtime's address where it is not the region's own; without trailing slash.
        profile: named AWS profile; empty for AWS's own choice.
        access_keys: pairs of access key id and secret; empty for AWS's own chain of credentials.
        session_token: goes with a single pair of temporary credentials.
        model: for requests that no other rule maps.
        small_fast_model: for requests whose model's name holds `haiku`.
        models: requested model, `*` standing for any text, to Bedrock id; the first match counts.
        protocol: `invoke` (InvokeModel) or `mantle` (the Messages API of Bedrock's Mantle).
        pass_unknown: send on beta flags and models that the gateway does not know.
    """

    region: str = ""
    base_url: str = ""
    profile: str = ""
    access_keys: tuple[tuple[Secret, Secret], ...] = ()
    session_token: Secret | None = None
    model: str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    small_fast_model: str = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    models: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "invoke"
    pass_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One provider. `type` is a key of `providers.types.TYPES`, `name` its route, unique.

    It is the type that counts: of what is configured as `anthropic` and has Bedrock settings it is
    `bedrock`, and `chatgpt` of an `openai` of that name at its address.

    Attributes:
        base_url: as it counts, the type's default included; without trailing slash. Of Bedrock the
            address that `bedrock` leads to, to be shown; empty when only AWS knows the region.
        keys: central keys, in the order in which they are tried; empty: the client's own is used.
            Of Bedrock: its API keys (Bearer), in place of AWS credentials.
        key_cooldown: how long a refused key rests where the provider does not say.
        headers: further headers for every request; their values may be secrets.
        allow_models: patterns of which a requested model must match one; empty allows all.
        deny_models: patterns of which it must match none.
        model_aliases: requested model to the one that is asked for instead.
        allow_byok: whether users may send their own credential.
        bedrock: set where the provider is served from Amazon Bedrock: where `type` is `bedrock`.
        origins: by option name, where each given value came from (`str(settings.Origin)`).
    """

    type: str
    name: str
    enabled: bool = True
    base_url: str = ""
    keys: tuple[Secret, ...] = ()
    key_cooldown: timedelta = KEY_COOLDOWN
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow_models: tuple[str, ...] = ()
    deny_models: tuple[str, ...] = ()
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    allow_byok: bool = True
    bedrock: BedrockSettings | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
