"""The table of a provider's settings, declared once as `options.py` does the daemon's.

From it come the variables `CODER_AIBRIDGE_PROVIDER_<N>_<KEY>` (and the later
`CODER_AI_GATEWAY_PROVIDER_<N>_<KEY>`), the keys of a `[[providers]]` table or of an entry of the
list `providers:` in YAML, what `aigw config show` prints, and their section of docs/options.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from aigw.durations import format_duration
from aigw.option_values import READERS, shown
from aigw.provider_settings import KEY_COOLDOWN, BedrockSettings
from aigw.provider_types import PROVIDER_TYPES

VARIABLE_PREFIXES = ("CODER_AIBRIDGE_PROVIDER_", "CODER_AI_GATEWAY_PROVIDER_")
"""What stands before a provider's number, the documented one first."""

SHARED_TYPES = tuple(name for name, facts in PROVIDER_TYPES.items() if not facts.is_personal)
BEDROCK_TYPES = ("bedrock", "anthropic")


@dataclass(frozen=True, slots=True)
class ProviderOption:
    """One setting of a provider. `kind` is a key of `option_values.READERS`.

    `spellings` are further names: lower case in a file, upper case in a variable, as the name
    itself. `types` are the only types of provider that have it; empty: all. `replacement` is the
    flag that does what this setting did; it is accepted, warned of and ignored.
    """

    name: str
    kind: str
    help: str
    default: str = ""
    spellings: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    secret: bool = False
    positive: bool = False
    replacement: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in a file, the main one first."""
        return (self.name, *self.spellings)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Its names behind the provider's number in a variable, the main one first."""
        return tuple(key.upper() for key in self.keys)

    def read(self, value: object) -> object:
        """The typed value of what a variable or file holds. Secrets stay references.

        Raises:
            ValueError: it is not allowed; the message says what is.
        """
        if self.choices and value not in self.choices:
            raise ValueError(f"{shown(value)} is not one of {', '.join(self.choices)}")
        typed = READERS[self.kind](value)
        if self.positive and not typed:
            raise ValueError("must be more than 0")
        return typed


_BEDROCK = BedrockSettings()

PROVIDER_OPTIONS: tuple[ProviderOption, ...] = (
    ProviderOption(
        "type", "string", f"What API it speaks: {', '.join(PROVIDER_TYPES)}. It must be given."
    ),
    ProviderOption(
        "name",
        "string",
        "Its name, which is its route too: /NAME/... . Lower-case letters, digits and hyphens, "
        "unique. Default: the type.",
    ),
    ProviderOption("enabled", "bool", "Whether it is served.", "true"),
    ProviderOption(
        "base_url",
        "url",
        "Base URL of the API, where it is not the type's own. The types azure and openai-compat "
        "have none of their own.",
    ),
    ProviderOption(
        "key",
        "string",
        "API key. It replaces the client's own credential. Of the type bedrock: a Bedrock API key.",
        types=SHARED_TYPES,
        secret=True,
    ),
    ProviderOption(
        "keys",
        "list",
        "Several API keys. The next is used while one is refused or rate limited.",
        types=SHARED_TYPES,
        secret=True,
    ),
    ProviderOption(
        "key_cooldown",
        "duration",
        "How long a refused key rests where the provider does not say.",
        format_duration(KEY_COOLDOWN),
        types=SHARED_TYPES,
        positive=True,
    ),
    ProviderOption(
        "headers",
        "mapping",
        "Further headers for every request. A value may be a reference, as a key's.",
        secret=True,
    ),
    ProviderOption(
        "allow_models",
        "list",
        "Patterns of which a requested model must match one; * stands for any text. Empty: all "
        "models may be asked for.",
    ),
    ProviderOption("deny_models", "list", "Patterns of models that may not be asked for."),
    ProviderOption(
        "model_aliases", "mapping", "Other names for models: what is asked for, and what it means."
    ),
    ProviderOption(
        "allow_byok",
        "bool",
        "Whether users may send their own credential. Default: as --aibridge-allow-byok.",
    ),
    ProviderOption(
        "bedrock_region",
        "string",
        "AWS region of Amazon Bedrock. Default: that of the base URL's host, else AWS_REGION or "
        "AWS_DEFAULT_REGION, else the AWS profile's.",
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_base_url",
        "url",
        "Address of the Bedrock runtime, where it is not the region's own.",
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_profile",
        "string",
        "Named AWS profile whose credentials are used.",
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_access_key",
        "string",
        "AWS access key id. Without it AWS's own chain of credentials is used: variables, "
        "profile, SSO, web identity, container, instance.",
        types=BEDROCK_TYPES,
        secret=True,
    ),
    ProviderOption(
        "bedrock_access_key_secret",
        "string",
        "AWS secret access key, given together with the access key id.",
        types=BEDROCK_TYPES,
        secret=True,
    ),
    ProviderOption(
        "bedrock_access_keys",
        "list",
        "Several AWS access key ids, used as `keys` are.",
        types=BEDROCK_TYPES,
        secret=True,
    ),
    ProviderOption(
        "bedrock_access_key_secrets",
        "list",
        "As many AWS secret access keys, in the order of the ids.",
        types=BEDROCK_TYPES,
        secret=True,
    ),
    ProviderOption(
        "bedrock_session_token",
        "string",
        "AWS session token of temporary credentials; goes with one access key.",
        types=BEDROCK_TYPES,
        secret=True,
    ),
    ProviderOption(
        "bedrock_model",
        "string",
        "Bedrock model for requests whose model no other rule maps.",
        _BEDROCK.model,
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_small_fast_model",
        "string",
        "Bedrock model for requests whose model's name holds 'haiku'.",
        _BEDROCK.small_fast_model,
        spellings=("bedrock_small_fastmodel",),
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_models",
        "mapping",
        "Requested models and the Bedrock models that serve them; * stands for any text, the "
        "first that matches counts.",
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "bedrock_protocol",
        "string",
        "How Bedrock is asked: InvokeModel, or the Messages API of its Mantle endpoint.",
        _BEDROCK.protocol,
        types=BEDROCK_TYPES,
        choices=("invoke", "mantle"),
    ),
    ProviderOption(
        "bedrock_pass_unknown",
        "bool",
        "Send on beta flags and models that the gateway does not know, instead of dropping them.",
        "false",
        types=BEDROCK_TYPES,
    ),
    ProviderOption(
        "dump_dir", "string", "Has no effect any more.", replacement="--aibridge-dump-dir"
    ),
)
"""In the order in which they are shown."""

BY_PROVIDER_KEY = {key: option for option in PROVIDER_OPTIONS for key in option.keys}
BY_SUFFIX = {suffix: option for option in PROVIDER_OPTIONS for suffix in option.suffixes}


def is_provider_variable(name: str) -> bool:
    """Whether an environment variable is one of a numbered provider's."""
    return name.startswith(VARIABLE_PREFIXES)
