"""Under which names a price list may have a model, and whose list it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_MODEL = 256
"""Characters of a name that is looked for. It is a client's choice, and lists are searched with it."""

_VENDORS = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "bedrock": ("aws",),
    "azure": ("azure",),
    "google": ("google",),
    "openrouter": ("openrouter",),
    # Plans: what the same tokens cost at the vendor's own API.
    "chatgpt": ("openai",),
    "copilot": ("openai", "anthropic", "google", "x-ai", "github-copilot"),
}
"""By type of provider, genai-prices' ids of the price lists, the first that has the model."""

_VENDOR_NAMES = {"xai": "x-ai", "mistralai": "mistral", "z-ai": "zai", "moonshot": "moonshotai"}
"""Of the `vendor/` before a model's name, where genai-prices calls it otherwise."""

_LISTED_VENDORS = frozenset(
    {
        "anthropic", "cohere", "deepseek", "google", "mistral", "moonshotai", "openai", "perplexity",
        "x-ai", "zai",
    }
)  # fmt: skip

_DATE = re.compile(r"-20\d\d-?[01]\d-?[0-3]\d$")
_LONG_CONTEXT = re.compile(r"\[1m\]$", re.IGNORECASE)
_GEOGRAPHY = re.compile(r"^(?!global\.)[a-z]{2,6}\.(?=[a-z0-9]+\.)")


_SEARCH_MODELS = re.compile(r"(?:^|/)gpt-[^/]*-search-(?:preview|api)(?:-|$)")

_CLAUDE_REST = re.compile(
    r"(?:[-@](?:20\d{6}|latest|default|preview|thinking|thought|v\d+(?::\d+\w?)*))*"
)


def is_the_same(listed: str, name: str) -> bool:
    """Whether a name is that of a listed model, and not of another that only begins alike.

    The list takes for a Claude whatever begins with its name; `claude-opus-4-80` and
    `claude-haiku-4-5-plus` would be models of tomorrow with prices of their own.
    """
    plain = name.casefold().replace(".", "-")
    if not listed.startswith("claude-") or not plain.startswith(listed):
        return True
    return _CLAUDE_REST.fullmatch(plain, len(listed)) is not None


def searches_always(model: str) -> bool:
    """Whether a model is one of OpenAI's that search before each answer, and cost more by that.

    Answers of Chat Completions do not tell how often:
    https://developers.openai.com/api/docs/pricing#built-in-tools
    """
    return _SEARCH_MODELS.search(model.casefold()) is not None


def vendors_of(kind: str, model: str) -> tuple[str, ...]:
    """Whose price lists a provider's models are in; none where only its address can tell.

    Vercel's gateway asks what the vendor asks, and has the vendor in the model's name:
    https://vercel.com/docs/ai-gateway/pricing
    """
    if kind != "vercel":
        return _VENDORS.get(kind, ())
    vendor = model.partition("/")[0].lower()
    name = _VENDOR_NAMES.get(vendor, vendor)
    return (name,) if name in _LISTED_VENDORS else ()


def candidates(kind: str, model: str) -> Iterator[str]:
    """Names to look for, the best first.

    A snapshot's date is left off only where the list does not have that snapshot.
    """
    name = _LONG_CONTEXT.sub("", model.strip())
    if kind == "bedrock":
        name = _without_arn(name)
    elif kind != "openrouter" and not name.startswith("ft:"):
        # `models/gemini-...`, `publishers/google/models/...`, `vendor/model`.
        yield name
        name = name.rpartition("/")[2]
    yield name
    undated = _DATE.sub("", name)
    if undated != name:
        yield undated
    # A geography that the list lacks costs what the region itself does.
    if kind == "bedrock" and (regional := _GEOGRAPHY.sub("", name)) != name:
        yield regional


def _without_arn(name: str) -> str:
    """The model or inference profile that an ARN ends in; the id of one's own profile says nothing."""
    if not name.lower().startswith("arn:"):
        return name
    return name.rpartition("/")[2]
