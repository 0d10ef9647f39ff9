"""What the gateway knows of a provider: its routes, its address, its credential.

A provider *type* (`openai`, `anthropic`) says how the API looks; a `Provider` is a configured
instance of one, with a name that is also its route. The types are in `types.TYPES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aigw.wire.apis import Api

if TYPE_CHECKING:
    from aigw.providers.bedrock import Bedrock
    from aigw.providers.key_pool import KeyPool
    from aigw.providers.model_rules import ModelRules


class ErrorShape(StrEnum):
    """Whose JSON the gateway's own errors imitate, so that SDKs understand them."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    AWS = "aws"


@dataclass(frozen=True, slots=True)
class ProviderType:
    """How one kind of API is served.

    Attributes:
        name: what the configuration calls it.
        family: whose API it speaks, recorded as `provider`.
        base_url: where it is reached unless the configuration says otherwise; empty: it must say.
        prefix: the part of the client's path that the base URL already holds (`/v1` for OpenAI).
        intercepted: paths, after the prefix, whose exchanges are recorded. A `*` stands for one
            segment, which is the model.
        passed: paths that are relayed only; one ending in `/*` means anything below it, a `*`
            within one stands for one segment.
        key_header: the header of a central key, and its value with `{}` for the key.
        credential_headers: where clients put their own, the decisive one first.
        is_personal: only the user's own credential serves; there is no central one.
    """

    name: str
    family: str
    base_url: str
    prefix: str
    error_shape: ErrorShape
    intercepted: Mapping[str, Api]
    passed: tuple[str, ...]
    key_header: tuple[str, str]
    credential_headers: tuple[str, ...]
    is_personal: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured instance of a type.

    Attributes:
        base_url: without trailing slash.
        pool: the central credentials; None where clients bring their own.
        headers: further headers for every request, set in place of a client's of the same name.
        rules: which models may be asked for, and under which names; None allows all.
        allow_byok: whether a client with a gateway key may send a credential of its own.
        bedrock: set where requests go to Amazon Bedrock, signed and translated by it.
    """

    type: ProviderType
    name: str
    base_url: str
    pool: KeyPool | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rules: ModelRules | None = None
    allow_byok: bool = True
    bedrock: Bedrock | None = None


@dataclass(slots=True)
class Target:
    """Where a client's path leads: `api` is None for what is passed through unrecorded.

    `route` is the client's path after the provider's name, as recorded: with `*` in place of a
    model. `path` is what is appended to the base URL, `pattern` the entry of the type's lists that
    matched (bounded, unlike paths), `model` the model that the path names, decoded; empty where the
    body does. `shape` is that of the gateway's own errors on this route.
    """

    api: Api | None
    route: str
    path: str
    pattern: str
    shape: ErrorShape
    model: str = ""


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
        return Target(api, path, rest, rest, _shape(kind, api))
    if not _is_plain(rest):
        return None
    for pattern, api in kind.intercepted.items():
        before, star, after = pattern.partition("*")
        if star and _names_model(rest, before, after):
            model = unquote(rest[len(before) : -len(after)])
            return Target(api, kind.prefix + pattern, rest, pattern, _shape(kind, api), model)
    found = next((pattern for pattern in kind.passed if _allows(pattern, rest)), None)
    if found is None or (found == "/*" and _resembles_intercepted(kind, rest)):
        return None
    before, star, after = found.partition("*")
    model = unquote(rest[len(before) : -len(after)]) if star and after else ""
    return Target(None, path, rest, found, _shape(kind, None, found), model)


def unserved_shape(kind: ProviderType, path: str) -> ErrorShape:
    """The shape of errors on a path that is not served: that of the clients that ask such paths.

    Of a type that serves Bedrock's own API too, only the paths of Anthropic's are theirs.
    """
    speaks_aws = any(api in _OF_AWS for api in kind.intercepted.values())
    if speaks_aws and path.strip("/").partition("/")[0] not in _FIRST_OF_ANTHROPIC:
        return ErrorShape.AWS
    return kind.error_shape


_OF_AWS = frozenset({Api.INVOKE, Api.CONVERSE})
_FIRST_OF_ANTHROPIC = frozenset({"", "v1", "api"})


def _shape(kind: ProviderType, api: Api | None, pattern: str = "") -> ErrorShape:
    if api is Api.INVOKE or api is Api.CONVERSE or pattern.startswith("/model/"):
        return ErrorShape.AWS
    if api is Api.MESSAGES:
        return ErrorShape.ANTHROPIC
    return kind.error_shape


def _names_model(path: str, before: str, after: str) -> bool:
    model = path[len(before) : -len(after)]
    return path.startswith(before) and path.endswith(after) and bool(model) and "/" not in model


def _allows(pattern: str, path: str) -> bool:
    before, star, after = pattern.partition("*")
    if star and after:
        return _names_model(path, before, after)
    if star:
        return path.startswith(before) and len(path) > len(before)
    return path == pattern


_CUT = re.compile("[;#?]")
"""Where servers that decode first may end a segment."""


def _resembles_intercepted(kind: ProviderType, path: str) -> bool:
    """Whether a provider may take a path for one whose exchanges are to be recorded."""
    segments = (_CUT.split(part)[0].strip() for part in unquote(path).lower().split("/"))
    plain = "/".join(segments).rstrip("/")
    return plain in kind.intercepted or plain.removeprefix("/v1") in kind.intercepted


def _is_plain(path: str) -> bool:
    if "%25" in path:
        # Doubly encoded: what it means depends on how often the provider decodes.
        return False
    decoded = unquote(path)
    # A raw `#` begins what servers drop from a target (RFC 3986 section 3.5).
    if "#" in path or "\\" in decoded or not decoded.isprintable():
        return False
    # An encoded slash is part of a model's name (`vendor/model`), and harmless without dots. Some
    # servers cut a segment at `;` before they look at its dots (RFC 3986 section 3.3).
    segments = (segment.partition(";")[0] for segment in decoded[1:].split("/"))
    return not any(segment in {"", ".", ".."} for segment in segments)
