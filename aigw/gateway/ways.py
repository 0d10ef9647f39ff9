"""Where a client's path leads: to which provider, and to what of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from aigw.gateway.configuration import Configuration
from aigw.providers.provider import ErrorShape, Provider, Target, find_target, unserved_shape
from aigw.store.keys import holds_key

PREFIXES = ("/api/v2/aibridge/", "/api/v2/ai-gateway/", "/")
"""Where providers are reached: Coder's path, its later name, and the short form."""

_REMEMBERED = 1024
"""Paths remembered: there are a few for each provider, and for Bedrock as many for each model."""

_LENGTH_REMEMBERED = 256
"""Longest path remembered, so that the memory of clients' inventions stays below a megabyte."""


class Way(NamedTuple):
    """What a path (as it was sent, without its query) means.

    `rest` is what follows the provider's name, or the whole path where none is named. `shape` is
    that of the gateway's own errors. `has_key`: a gateway key is in it.
    """

    provider: Provider | None
    rest: str
    target: Target | None
    shape: ErrorShape
    has_key: bool


class Ways:
    """The ways of one configuration. Paths that clients ask again and again are looked at once."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._known: dict[str, Way] = {}

    def find(self, path: str) -> Way:
        """Where a path leads."""
        way = self._known.get(path)
        if way is None:
            way = self._look(path)
            # A gateway key is kept nowhere, and what is not served is asked for once.
            if way.target is not None and not way.has_key and len(path) <= _LENGTH_REMEMBERED:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[path] = way
        return way

    def names_disabled(self, path: str) -> str | None:
        """The provider that a path names and that is switched off."""
        disabled = self._configuration.disabled
        return next((name for name, _ in _named(path) if name in disabled), None)

    def _look(self, path: str) -> Way:
        provider, rest = self._provider(path)
        target = find_target(provider.type, rest) if provider is not None else None
        return Way(provider, rest, target, _shape(provider, rest, target), holds_key(unquote(rest)))

    def _provider(self, path: str) -> tuple[Provider | None, str]:
        for name, rest in _named(path):
            provider = self._configuration.providers.get(name)
            if provider is not None:
                return provider, rest
        return None, path


def _named(path: str) -> Iterator[tuple[str, str]]:
    """What may be a provider's name in a path, and the path after it."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            name, slash, rest = path[len(prefix) :].partition("/")
            yield name, slash + rest


def _shape(provider: Provider | None, path: str, target: Target | None) -> ErrorShape:
    if target is not None:
        return target.shape
    return unserved_shape(provider.type, path) if provider is not None else ErrorShape.OPENAI
