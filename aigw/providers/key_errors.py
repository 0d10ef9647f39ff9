"""Whether a provider's error is about the key that a request was sent with. Data, and its reading.

A client chooses the model's name and much else that providers repeat in their errors. So codes must
be equal and messages must begin as they do here; text that merely turns up somewhere says nothing,
or a client could take the operator's keys out one by one.

Sources: OpenAI's "Error codes"; Anthropic's "Errors"; Google's `ErrorInfo` reasons; AWS's "Common
Errors" of Bedrock; messages as reported by users of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from aigw.providers.key_pool import Event

BY_STATUS: Mapping[int, Event | None] = {
    400: None,
    401: Event.AUTH_FAILED,
    403: None,
    429: Event.RATE_LIMITED,
}
"""What a status means for the key unless the body says otherwise. Others never concern the key."""

_INVALID_CODES: Mapping[int, frozenset[str]] = {
    # Google answers 400 to an invalid key.
    400: frozenset({"api_key_invalid"}),
    403: frozenset(
        {
            "api_key_invalid",
            "invalid_api_key",
            "unrecognizedclientexception",
            "invalidclienttokenid",
            "invalidsignatureexception",
            "expiredtokenexception",
        }
    ),
}
_INVALID_MESSAGES: Mapping[int, tuple[str, ...]] = {
    403: (
        "api key not valid",
        "incorrect api key provided",
        "invalid api key",
        "invalid_api_key",
        "the security token included in the request is invalid",
        "the security token included in the request is expired",
        # A Bedrock API key.
        "authentication failed: please make sure your api key is valid",
    )
}
_THE_REQUESTS_OWN: Mapping[int, tuple[str, ...]] = {
    # A restricted key that serves other routes: one user asking for the wrong one must not take
    # the keys from everybody.
    401: ("you have insufficient permissions for this operation", "missing scopes"),
    # More tokens in one request than the limit of a minute: waiting does not help, nor do others
    # with smaller requests have to wait.
    429: ("request too large for",),
}

_CODE_KEYS = ("code", "type", "status", "reason", "__type")
_MESSAGE_KEYS = ("message", "Message")


def key_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Event | None:
    """Why the key was refused, or None when the answer is not about the key.

    `body` is the whole decompressed body, or empty when it could not be had. Never raises.
    """
    if status not in BY_STATUS:
        return None
    codes, messages = _words(body)
    codes.add(_plain_code(headers.get("x-amzn-ErrorType", "")))
    if any(message.startswith(_THE_REQUESTS_OWN.get(status, ())) for message in messages):
        return None
    if codes & _INVALID_CODES.get(status, frozenset()):
        return Event.AUTH_FAILED
    if any(message.startswith(_INVALID_MESSAGES.get(status, ())) for message in messages):
        return Event.AUTH_FAILED
    return BY_STATUS[status]


def _words(body: bytes) -> tuple[set[str], list[str]]:
    """The codes and messages of an error body, in lower case."""
    try:
        error: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return set(), [body.decode("utf-8", "replace").strip().lower()]
    codes: set[str] = set()
    messages: list[str] = []
    for part in _parts(error):
        codes.update(_plain_code(part[key]) for key in _CODE_KEYS if isinstance(part.get(key), str))
        messages += [
            part[key].strip().lower() for key in _MESSAGE_KEYS if isinstance(part.get(key), str)
        ]
        if isinstance(part.get("error"), str):
            messages.append(part["error"].strip().lower())
    return codes, messages


def _parts(error: Any) -> Iterator[dict[str, Any]]:
    """The objects of an error body that say what is wrong: itself, its `error`, their details."""
    if isinstance(error, list):
        # Google's OpenAI-compatible endpoint puts the error into a list of one.
        error = error[0] if error else None
    if not isinstance(error, dict):
        return
    yield error
    inner = error.get("error")
    if isinstance(inner, dict):
        yield inner
        details = inner.get("details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                yield detail


def _plain_code(code: str) -> str:
    """AWS writes `namespace#Code` in bodies and `Code:address` in headers."""
    return code.rpartition("#")[2].partition(":")[0].strip().lower()
