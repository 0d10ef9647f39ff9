"""List prices by provider and model, from the data of genai-prices (https://github.com/pydantic/genai-prices).

The package is optional (`aigw[prices]`), takes a quarter of a second to import, and is imported only
by `load_catalogue`. What it knows is read into `Price`s, and all arithmetic is `price.cost_micros`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from aigw.pricing.model_names import LONGEST_MODEL, candidates, vendors_of
from aigw.pricing.price import TIERS_OF_SERVICE, Price, Rates, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

_NOT_READ = frozenset({"cache_audio_read_mtok", "cache_image_read_mtok", "input_image_mtok"})
"""Rates for what a usage never tells apart: it is charged at the rate of the whole."""


class NoPrice(NamedTuple):
    """Why there is no list price, as the end of a sentence for a person."""

    reason: str


_ANTHROPIC_US_PERCENT = 110
"""Only models from Opus 4.6 on say where they ran, and they cost more where that had to be the USA:
https://support.claude.com/en/articles/15422948-enable-us-only-inference-for-your-organization"""


class ListPrice:
    """A model that the catalogue knows. Its price may depend on the date or the time of day.

    Attributes:
        name: the catalogue's own name, `anthropic/claude-sonnet-4-5`.
    """

    def __init__(self, provider: Provider, model: ModelInfo) -> None:
        self.name = f"{provider.id}/{model.id}"
        self._model = model
        # Of another vendor's model that a provider serves, only the standard price is that one's.
        self._has_services = any(model is own for own in provider.models)
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
        plain = _price(standard)
        services: dict[str, Price] = {}
        for name in TIERS_OF_SERVICE if self._has_services else ():
            # Providers call it differently: OpenAI a service tier, Anthropic a speed, batches apart.
            context = {"service_tier": name, "processing": name, "speed": name}
            other = _price(self._model.get_prices(when, context))
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
        if self.missing:
            return NoPrice(self.missing)
        if len(model) > LONGEST_MODEL:
            return NoPrice("no model has so long a name")
        vendors = self._vendors(kind, base_url, model)
        if not vendors:
            return NoPrice(f"genai-prices has no price list for {base_url or kind}")
        for name in candidates(kind, model):
            for vendor in vendors:
                if found := vendor.find_model(name, all_providers=self._providers):
                    return ListPrice(vendor, found)
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
        import re  # noqa: PLC0415 (seldom asked)

        matching = (p for p in self._providers if re.match(p.api_pattern, base_url))
        return next(matching, None)


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


def _price(source: ModelPrice) -> Price:
    values = {ours: source.__dict__.get(theirs) for ours, theirs in _UNITS.items()}
    starts = sorted({start for value in values.values() for start in _starts(value)})
    return Price(
        rates=_rates(values, 0),
        tiers=tuple(Tier(start, _rates(values, start + 1)) for start in starts),
    )


def _starts(value: Any) -> Iterator[int]:
    for tier in getattr(value, "tiers", ()):
        yield tier.start


def _rates(values: dict[str, Any], input_tokens: int) -> Rates:
    return Rates(**{name: _rate(value, input_tokens) for name, value in values.items()})


def _rate(value: Any, input_tokens: int) -> int | None:
    """A rate in micro-dollars. Some of the data are binary fractions: those are set right here."""
    if value is None:
        return None
    dollars = value
    if hasattr(value, "tiers"):
        dollars = value.base
        for tier in value.tiers:
            if input_tokens > tier.start:
                dollars = tier.price
    return int((dollars * _MICROS).to_integral_value(ROUND_HALF_UP))
