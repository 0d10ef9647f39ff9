"""Who is asking: the user of a gateway key, or the local user while no keys have been made.

Header rules as in Coder's gateway (reference, surface page, section 3), but for two things: what is
wrong with a token is a 401 that says how to mend it, and a gateway key is recognised by its form,
so a client's own credential in an earlier header does not hide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from aigw.errors import AuthError
from aigw.gateway.errors import EXPIRED_KEY
from aigw.store.key_ring import KeyRing, Reason, Refusal
from aigw.store.keys import PREFIX, GatewayKey, holds_key

BYOK_HEADER: Final = "X-Coder-AI-Governance-Token"
"""Holds the gateway key of a client whose other headers hold its own provider credential."""

SESSION_HEADER: Final = "Coder-Session-Token"
"""Where clients of Coder's API send their token: for the read API."""

TOKEN_HEADERS: Final = (BYOK_HEADER, "Authorization", "X-Api-Key", "api-key", "X-Goog-Api-Key")
"""In the order in which they are looked at. The last two are habits of Azure's and Google's SDKs."""

CREDENTIAL_HEADERS: Final = (*TOKEN_HEADERS, SESSION_HEADER)
"""All headers that may hold a credential, the gateway's or a provider's."""

LOCAL_USER: Final = "local"
"""The initiator in open mode."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. `email` is the user where that is an address, else empty.

    `key` and `api_key_id` are None in open mode. `byok`: the client brings its own provider
    credential beside its gateway key. `is_admin`: may read everybody's records.
    """

    initiator_id: str
    username: str
    email: str = ""
    api_key_id: str | None = None
    key: GatewayKey | None = None
    byok: bool = False
    is_admin: bool = False


LOCAL: Final = Caller(LOCAL_USER, LOCAL_USER, is_admin=True)
"""The caller in open mode."""

_Headers = CIMultiDict[str] | CIMultiDictProxy[str]


def authenticate(headers: _Headers, ring: KeyRing, *, read_api: bool = False) -> Caller:
    """Who makes a request with these headers. `read_api` also takes Coder's session header.

    Raises:
        AuthError: no header holds a gateway key that works; the message says what to do.
    """
    if ring.is_open:
        return LOCAL
    names = (SESSION_HEADER, *TOKEN_HEADERS) if read_api else TOKEN_HEADERS
    first_other = ""
    for name, token in _tokens(headers, names):
        # A key in quotes is one too, if only to be told so.
        if token.lstrip("\"'").startswith(PREFIX):
            found = ring.find(token)
            if isinstance(found, Refusal):
                raise _refused(found, name)
            return _caller(found, byok=name == BYOK_HEADER)
        first_other = first_other or name
    if first_other:
        raise AuthError("not_a_gateway_key", _not_a_key(first_other))
    raise AuthError("missing_gateway_key", f"this gateway needs a key, and none was sent. {_SEND}")


def strip_gateway_credentials(headers: CIMultiDict[str], caller: Caller) -> None:
    """Take out, in place, what no provider may see, before a provider's credential is put in.

    With a gateway key those are all credentials, unless the client brings its own. Whatever the
    mode, no header that holds a gateway key is left, wherever it stands.
    """
    gone: tuple[str, ...] = (BYOK_HEADER, SESSION_HEADER)
    if caller.key is not None and not caller.byok:
        gone = CREDENTIAL_HEADERS
    for name in gone:
        headers.popall(name, None)
    # All values in one look: nearly no request has a key left, and every one is looked at.
    if PREFIX in "\n".join(headers.values()):
        for name in [name for name, value in headers.items() if holds_key(value)]:
            _keep_clean(headers, name)


def strip_query(query: str) -> str:
    """A query string, with or without its `?`, without the parameters that hold a gateway key.

    Google's clients send their key as `?key=`. Nothing else of the query is changed.
    """
    if not holds_key(query):
        return query
    mark = "?" if query.startswith("?") else ""
    kept = [part for part in query.removeprefix("?").split("&") if not holds_key(part)]
    return mark + "&".join(kept) if kept else ""


def _keep_clean(headers: CIMultiDict[str], name: str) -> None:
    """Leave only those values of a header that hold no gateway key."""
    for value in headers.popall(name, []):
        if not holds_key(value):
            headers.add(name, value)


def _tokens(headers: _Headers, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each token that is there, with its header, in order."""
    for name in names:
        for value in headers.getall(name, ()):
            token = _bearer(value) if name == "Authorization" else value.strip()
            if token:
                yield name, token


def _bearer(value: str) -> str:
    """The token in an Authorization header; a key without its scheme counts, a scheme alone not."""
    parts = value.split(None, 1)
    if parts and parts[0].lower() == "bearer":
        return parts[1].strip() if len(parts) > 1 else ""
    return value.strip()


def _caller(key: GatewayKey, *, byok: bool) -> Caller:
    return Caller(
        initiator_id=key.user,
        username=key.user,
        email=key.user if "@" in key.user else "",
        api_key_id=key.id,
        key=key,
        byok=byok,
        is_admin=key.is_admin,
    )


_SEND = (
    f"Send a gateway key ({PREFIX}...) as `Authorization: Bearer`: set "
    "ANTHROPIC_AUTH_TOKEN for Claude Code, OPENAI_API_KEY for OpenAI clients, "
    "AWS_BEARER_TOKEN_BEDROCK for those of AWS. Whoever runs the gateway makes one with `aigw keys create NAME`."
)
_SHOWN = {"X-Api-Key": "the API key header"}
"""Headers that a message must not name: Claude Code shows "Please run /login" in place of one that does."""

_RENEW = "Whoever runs the gateway makes a new one with `aigw keys {}`."


def _not_a_key(name: str) -> str:
    own = (
        ""
        if name in (BYOK_HEADER, SESSION_HEADER)
        else f" To use a provider credential of your own, leave it there and send the gateway key in "
        f"{BYOK_HEADER} (Claude Code: ANTHROPIC_CUSTOM_HEADERS)."
    )
    return f"the token in {_SHOWN.get(name, name)} is not a key of this gateway. {_SEND}{own}"


def _refused(refusal: Refusal, name: str) -> AuthError:
    name = _SHOWN.get(name, name)
    match refusal.reason:
        case Reason.MALFORMED:
            text = "is incomplete or mistyped. Copy it once more, whole and without quotes."
            return AuthError("malformed_gateway_key", f"the gateway key in {name} {text}")
        case Reason.EXPIRED:
            text = f"{refusal.name!r} expired on {_day(refusal.since)}. {_RENEW.format('rotate')}"
            return AuthError(EXPIRED_KEY, f"the gateway key in {name}, {text}")
        case Reason.REVOKED:
            text = f"{refusal.name!r}, was revoked on {_day(refusal.since)}. "
            text += _RENEW.format("create")
            return AuthError("revoked_gateway_key", f"the gateway key in {name}, {text}")
    text = "is not known: it is mistyped, deleted, replaced by a new one, or another gateway's. "
    return AuthError(
        "unknown_gateway_key", f"the gateway key in {name} {text}{_RENEW.format('create')}"
    )


def _day(microseconds: int | None) -> str:
    return f"{datetime.fromtimestamp((microseconds or 0) // 1_000_000, UTC):%Y-%m-%d}"
