"""What the configuration must know of a type of provider. `providers.types` has the rest.

Base URLs are from each provider's own documentation ("OpenAI compatibility" pages of Google,
OpenRouter and Vercel). Azure's and a compatible service's are the operator's own.
"""

from __future__ import annotations

from typing import NamedTuple


class TypeFacts(NamedTuple):
    """`base_url` is empty where the configuration must say it or, of Bedrock, follows from it.

    Of an `is_personal` type only the user's own credential serves; there is no central key.
    """

    base_url: str
    is_personal: bool = False


CHATGPT_BASE_URL = "https://chatgpt.com/backend-api/codex"

PROVIDER_TYPES: dict[str, TypeFacts] = {
    "openai": TypeFacts("https://api.openai.com/v1"),
    "anthropic": TypeFacts("https://api.anthropic.com"),
    "bedrock": TypeFacts(""),
    "copilot": TypeFacts("https://api.individual.githubcopilot.com", is_personal=True),
    "azure": TypeFacts(""),
    "google": TypeFacts("https://generativelanguage.googleapis.com/v1beta/openai"),
    "openrouter": TypeFacts("https://openrouter.ai/api/v1"),
    "vercel": TypeFacts("https://ai-gateway.vercel.sh/v1"),
    "openai-compat": TypeFacts(""),
    "chatgpt": TypeFacts(CHATGPT_BASE_URL, is_personal=True),
}
"""By the name that the configuration has for a type."""

RESERVED_NAMES = frozenset(
    {
        "api",
        "clients",
        "healthz",
        "interceptions",
        "keys",
        "metrics",
        "models",
        "providers",
        "proxy",
        "readyz",
        "reload",
        "sessions",
        "status",
    }
)
"""First segments of the gateway's own pages: a provider's name is a route beside them."""


def aws_domain(region: str) -> str:
    """The domain of AWS's partition that a region belongs to."""
    return next((name for start, name in _AWS_DOMAINS if region.startswith(start)), "amazonaws.com")


_AWS_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
)
"""Of other partitions than the public one, by the beginning of the region (botocore's endpoints)."""
