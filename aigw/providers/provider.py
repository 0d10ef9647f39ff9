"""What the gateway knows of a provider: its routes, its address, its credential.

A provider *type* (`openai`, `anthropic`) says how the API looks; a `Provider` is a configured
instance of one, with a name that is also its route. Sources: docs/providers of the types' modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aigw.wire.apis import Api

if TYPE_CHECKING:
    from aigw.secrets import Secret


class ErrorShape(StrEnum):
    """Whose JSON the gateway's own errors imitate, so that SDKs understand them."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class ProviderType:
    """How one kind of API is served.

    Attributes:
        name: recorded as `provider`.
        prefix: the part of the client's path that the base URL already holds (`/v1` for OpenAI).
        intercepted: paths, after the prefix, whose exchanges are recorded.
        passed: paths that are relayed only; one ending in `/*` means anything below it.
        key_header: the header of a central key, and its value with `{}` for the key.
        credential_headers: where clients put their own, the decisive one first.
    """

    name: str
    prefix: str
    error_shape: ErrorShape
    intercepted: Mapping[str, Api]
    passed: tuple[str, ...]
    key_header: tuple[str, str]
    credential_headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured instance of a type. `base_url` has no trailing slash."""

    type: ProviderType
    name: str
    base_url: str
    key: Secret | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client's path leads: `api` is None for what is passed through unrecorded.

    `route` is the client's path after the provider's name, `path` what is appended to the base URL,
    `pattern` the entry of the type's lists that matched (bounded, unlike paths).
    """

    api: Api | None
    route: str
    path: str
    pattern: str


def find_target(kind: ProviderType, path: str) -> Target | None:
    """Match a raw (still percent-encoded) path, without query, after the provider's name.

    None when the path is not served. The list is one of what is allowed, because a central key
    may be able to do much more than ask models. A path that a provider could read as another one
    (dot segments, empty segments, however encoded) is not served at all.
    """
    if not path.startswith(kind.prefix):
        return None
    rest = path[len(kind.prefix) :]
    api = kind.intercepted.get(rest)
    if api is not None:
        return Target(api, path, rest, rest)
    pattern = next((pattern for pattern in kind.passed if _allows(pattern, rest)), None)
    if pattern is None or not _is_plain(rest):
        return None
    return Target(None, path, rest, pattern)


def _allows(pattern: str, path: str) -> bool:
    if pattern.endswith("/*"):
        stem = pattern[:-1]
        return path.startswith(stem) and len(path) > len(stem)
    return path == pattern


def _is_plain(path: str) -> bool:
    if "%25" in path:
        # Doubly encoded: what it means depends on how often the provider decodes.
        return False
    decoded = unquote(path)
    if "\\" in decoded or "\0" in decoded:
        return False
    # An encoded slash is part of a model's name (`vendor/model`), and harmless without dots. Some
    # servers cut a segment at `;` before they look at its dots (RFC 3986 section 3.3).
    segments = (segment.partition(";")[0] for segment in decoded[1:].split("/"))
    return not any(segment in {"", ".", ".."} for segment in segments)
