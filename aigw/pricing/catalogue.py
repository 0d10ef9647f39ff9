"""List prices by provider and model, from the data of genai-prices (https://github.com/pydantic/genai-prices).

The package is optional (`aigw[prices]`), takes a quarter of a second to import, and is imported only
by `load_catalogue`. What it knows is read into `Price`s, and all arithmetic is `price.cost_micros`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from aigw.pricing.model_names import (
    LONGEST_MODEL,
    candidates,
    is_the_same,
    searches_always,
    vendors_of,
)
from aigw.pricing.price import TIERS_OF_SERVICE, Price, Rates, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from aigw.pricing.refresh import Refreshed

_MICROS = Decimal(1_000_000)
_DAY = 86_400_000_000
_MINUTE = 60_000_000

_UNITS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
    "request": "requests_kcount",
}
"""Our rates and genai-prices' names of them. It counts dollars."""

_OF_TOKENS = frozenset(ours for ours, theirs in _UNITS.items() if theirs.endswith("_mtok"))
_SEARCHES = _UNITS["web_search"]

_NOT_READ = frozenset({"cache_audio_read_mtok", "cache_image_read_mtok", "input_image_mtok"})
"""Rates for what a usage never tells apart: it is charged at the rate of the whole."""


class NoPrice(NamedTuple):
    """Why there is no list price, as the end of a sentence for a person."""

    reason: str


_ANTHROPIC_US_PERCENT = 110
"""Only Claude 4.6 and later say where they ran, and they cost more where that had to be the USA:
https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing"""

_REGIONAL_PERCENT = 110
"""What OpenAI asks at an endpoint of a region (`eu.api.openai.com`), for models that were released
since 2026-03-05: https://developers.openai.com/api/docs/guides/data-residency"""

_REGIONAL_HOST = re.compile(r"https://[a-z]+\.api\.openai\.com(?=[:/]|$)")
_DEARER_IN_REGIONS = re.compile(r"gpt-(?:5\.[4-9]|[6-9])")
"""GPT-5.4 was released on that day."""

_REASONING = re.compile(r"o\d|codex-|gpt-(?:[5-9]|\d\d)")
_DEAR_PREVIEW = Decimal(25)
"""Dollars per thousand searches with `web_search_preview` where the model does not reason; with those
that do it costs what `web_search` does: https://developers.openai.com/api/docs/pricing#built-in-tools"""

_TOOLS_FOR_ALL = {
    "openai": {_UNITS["web_search"]: Decimal(10), _UNITS["file_search"]: Decimal("2.5")}
}
"""Dollars per thousand calls, whatever the model: https://developers.openai.com/api/docs/pricing#built-in-tools
genai-prices has them with most of the models only, and not with the newest."""

_COMMITTED = {"anthropic": ("priority",), "openai": ("scale",)}
"""Classes of service that are bought beforehand, for a time. At list price their tokens cost what those
of the standard class do: https://platform.claude.com/docs/en/api/service-tiers"""

_SECOND_HAND = "Imported from OpenRouter"
"""So begins the comment on a price that genai-prices has from there and not from the vendor, who may
not even sell the model: OpenAI's API has no gpt-oss."""

_WITH_PREVIEW = frozenset({"openai", "azure"})
"""Whose Responses API has the older web search tool."""

_GOVERNMENT = re.compile(r"^(?:us-gov\.|arn:aws-us-gov:)|\bus-gov-")
"""In a model's id or an address: AWS GovCloud."""


class ListPrice:
    """A model that the catalogue knows. Its price may depend on the date or the time of day.

    Args:
        provider: whose list it is in.
        model: as the list has it.
        percent: what tokens cost there, in percent of the list's rates.

    Attributes:
        name: the catalogue's own name, `anthropic/claude-sonnet-4-5`.
    """

    def __init__(self, provider: Provider, model: ModelInfo, percent: int = 100) -> None:
        self.name = f"{provider.id}/{model.id}"
        self._model = model
        self._percent = percent
        # Of another vendor's model that a provider serves, only the standard price is that one's.
        self._preview_is_dear = provider.id in _WITH_PREVIEW and not _REASONING.match(model.id)
        self._has_preview = provider.id in _WITH_PREVIEW
        self._has_services = any(model is own for own in provider.models)
        self._tools = _TOOLS_FOR_ALL.get(provider.id, {}) if self._has_services else {}
        self._committed = _COMMITTED.get(provider.id, ())
        self._is_anthropic = provider.id == "anthropic"
        self._span = _MINUTE if _by_time_of_day(model) else _DAY

    def span(self, moment: int) -> int:
        """A number that stays the same as long as the price does (microseconds to a count)."""
        return moment // self._span

    def at(self, moment: int) -> Price | NoPrice:
        """The price at a moment, in microseconds."""
        when = datetime.fromtimestamp(moment // 1_000_000, UTC)
        standard = self._model.get_prices(when)
        if missing := _unread(standard):
            return NoPrice(f"genai-prices charges it by {missing}, which responses do not tell")
        plain = self._price(standard)
        services = dict.fromkeys(self._committed, plain)
        for name in TIERS_OF_SERVICE if self._has_services else ():
            # Providers call it differently: OpenAI a service tier, Anthropic a speed, batches apart.
            context = {"service_tier": name, "processing": name, "speed": name}
            other = self._price(self._model.get_prices(when, context))
            if other != plain:
                services[name] = other
        window = self._model.context_window
        return Price(
            rates=plain.rates,
            tiers=plain.tiers,
            services=services,
            context_window=window,
            us_percent=_ANTHROPIC_US_PERCENT if self._is_anthropic else 100,
        )

    def _price(self, source: ModelPrice) -> Price:
        rates = {name: rate for name, rate in source.__dict__.items() if rate is not None}
        rates = self._tools | rates
        preview = None
        if self._has_preview:
            preview = _DEAR_PREVIEW if self._preview_is_dear else rates.get(_SEARCHES)
        return _price(rates, self._percent, preview)


class Catalogue:
    """What genai-prices knows.

    Args:
        providers: its data; empty where the package is missing.
        source: what a price's source is called: `genai-prices 0.2.3`.
        missing: why there are no data, where there are none.
    """

    def __init__(self, providers: Sequence[Provider], source: str, missing: str = "") -> None:
        self.source = source
        self.missing = missing
        self._providers = list(providers)
        self._by_id = {provider.id: provider for provider in providers}

    def find(self, kind: str, base_url: str, model: str) -> ListPrice | NoPrice:
        """A model's list price at a provider of a type (`provider_types`) with a base URL."""
        if reason := self.missing or _unlistable(kind, base_url, model):
            return NoPrice(reason)
        vendors = self._vendors(kind, base_url, model)
        if not vendors:
            return NoPrice(f"genai-prices has no price list for {base_url or kind}")
        for name in candidates(kind, model):
            for vendor in vendors:
                found = vendor.find_model(name, all_providers=self._providers)
                if found is None or _is_second_hand(vendor, found):
                    continue
                if is_the_same(found.id, name):
                    return ListPrice(vendor, found, _percent(vendor, found, base_url))
        listed = ", ".join(dict.fromkeys(vendor.name for vendor in vendors))
        return NoPrice(f"genai-prices does not have it in the price list of {listed}")

    def _vendors(self, kind: str, base_url: str, model: str) -> list[Provider]:
        """Whose price lists count, the first that has the model."""
        own = [self._by_id[name] for name in vendors_of(kind, model) if name in self._by_id]
        if kind in ("openai", "anthropic", "openai-compat"):
            # Whoever answers at an address that is known is paid, whatever the provider's type.
            known = self._at(base_url)
            if known is not None and known not in own:
                return [known]
        return own

    def _at(self, base_url: str) -> Provider | None:
        matching = (p for p in self._providers if _is_at(p.api_pattern, base_url))
        return next(matching, None)


def _unlistable(kind: str, base_url: str, model: str) -> str:
    """Why no list has a model's whole price; empty where one may."""
    if len(model) > LONGEST_MODEL:
        return "no model has so long a name"
    if kind == "bedrock" and (_GOVERNMENT.search(model) or _GOVERNMENT.search(base_url)):
        return "genai-prices does not have the prices of AWS GovCloud"
    if searches_always(model):
        return "it is charged by search too, and responses do not tell how many there were"
    return ""


def _is_at(pattern: str, base_url: str) -> bool:
    """Whether an address is one of a provider's.

    The patterns hold for its beginning, and most end within the host's name:
    `https://api.openai.com.example` is somebody else's.
    """
    found = re.match(pattern, base_url)
    if found is None:
        return False
    rest = base_url[found.end() :]
    return not rest or rest[0] in ":/" or base_url[found.end() - 1] in "./"


def _is_second_hand(vendor: Provider, model: ModelInfo) -> bool:
    comments = model.price_comments or ""
    return vendor.id != "openrouter" and comments.startswith(_SECOND_HAND)


def _percent(vendor: Provider, model: ModelInfo, base_url: str) -> int:
    """What tokens cost at an address, in percent of the list's rates."""
    is_dearer = vendor.id == "openai" and _DEARER_IN_REGIONS.match(model.id)
    return _REGIONAL_PERCENT if is_dearer and _REGIONAL_HOST.match(base_url) else 100


def load_catalogue(refreshed: Refreshed | None = None) -> Catalogue:
    """The catalogue: `refreshed` where given, else that of the package.

    Takes a quarter of a second or, of refreshed data, a second: not for the event loop.
    """
    try:
        from genai_prices import __version__  # noqa: PLC0415 (optional, and slow to import)
        from genai_prices.data import providers  # noqa: PLC0415
    except ImportError:
        return Catalogue(
            (), "", "there is no price list: install it with `pip install 'aigw[prices]'`"
        )
    if refreshed is not None:
        return Catalogue(refreshed.providers, f"genai-prices {refreshed.fetched_on}")
    return Catalogue(providers, f"genai-prices {__version__}")


def _by_time_of_day(model: ModelInfo) -> bool:
    constraints = [
        *(price.constraint for price in _conditional(model)),
        *(variant.constraint for variant in model.price_variants or ()),
    ]
    return any(hasattr(constraint, "start_time") for constraint in constraints)


def _conditional(model: ModelInfo) -> list[Any]:
    return model.prices if isinstance(model.prices, list) else []


def _unread(price: ModelPrice) -> str:
    """What else a model is charged by, where that is something other than tokens and searches."""
    known = {*_UNITS.values(), *_NOT_READ}
    for name, value in price.__dict__.items():
        if value is not None and name not in known and name in _CHARGED_BY:
            return _CHARGED_BY[name]
    return ""


_CHARGED_BY = {
    "audio_hours": "hour of audio",
    "input_audio_hours": "hour of audio",
    "input_mchars": "character",
    "input_text_messages_kcount": "message",
    "input_document_kpages": "page",
    "input_annotated_document_kpages": "page",
    "output_reasoning_mtok": "token of reasoning",
    "output_citation_mtok": "token of citations",
    "output_image_mtok": "token of images",
    "output_video_mtok": "token of video",
}


def _price(source: Mapping[str, Any], percent: int, preview: Any) -> Price:
    values = {ours: source.get(theirs) for ours, theirs in _UNITS.items()}
    values["web_search_preview"] = preview
    starts = sorted({start for value in values.values() for start in _starts(value)})
    return Price(
        rates=_rates(values, 0, percent),
        tiers=tuple(Tier(start, _rates(values, start + 1, percent)) for start in starts),
    )


def _starts(value: Any) -> Iterator[int]:
    for tier in getattr(value, "tiers", ()):
        yield tier.start


def _rates(values: dict[str, Any], input_tokens: int, percent: int) -> Rates:
    """The rates at an input's length; only those of tokens are dearer at a dearer place."""
    return Rates(
        **{
            name: _rate(value, input_tokens, percent if name in _OF_TOKENS else 100)
            for name, value in values.items()
        }
    )


def _rate(value: Any, input_tokens: int, percent: int) -> int | None:
    """A rate in micro-dollars. Some of the data are binary fractions: those are set right here."""
    if value is None:
        return None
    dollars = value
    if hasattr(value, "tiers"):
        dollars = value.base
        for tier in value.tiers:
            if input_tokens > tier.start:
                dollars = tier.price
    return int((dollars * _MICROS * percent / 100).to_integral_value(ROUND_HALF_UP))
