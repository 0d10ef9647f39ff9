"""Errors of the providers: in an answer with an error status, and inside a stream."""

from __future__ import annotations

from typing import Any

from aigw.records import Status
from aigw.wire.facts import Outcome, ResponseFact
from aigw.wire.lenient import clean, dict_of, parse, text_of

MESSAGE_LIMIT = 4 * 1024
"""Bytes of an error's message that are kept: a proxy's HTML page tells nothing after that."""

_BODY_LIMIT = 1024 * 1024
_TYPE_LIMIT = 200


class ErrorReader:
    """A `facts.ResponseReader` for an answer with an error status (300 and above).

    It understands the shapes of the providers and their imitators; of anything else (a proxy's
    HTML) it keeps the beginning, under the type `http_<status>`.
    """

    unfinished = b""
    unfinished_length = 0

    def __init__(self, status: int) -> None:
        self.response_id = ""
        self.ended = False
        self._status = status
        self._body = bytearray()
        self._outcome: Outcome | None = None

    def feed(self, data: bytes) -> list[ResponseFact]:
        """Keep the beginning of the body."""
        self._body += data[: _BODY_LIMIT - len(self._body)]
        return []

    def finish(self) -> list[ResponseFact]:
        """Read the error. There are no facts in one."""
        if not self.ended:
            self.ended = True
            self._outcome = _outcome_of_body(self._status, bytes(self._body))
            self._body.clear()
        return []

    def outcome(self) -> Outcome | None:
        """Failed, once the body is whole; None before."""
        return self._outcome


def failure(error: Any, default_type: str = "error") -> Outcome:
    """The outcome that an error object (or text) of a provider stands for."""
    if not isinstance(error, dict):
        return Outcome(Status.FAILED, default_type, shorten(text_of(error)) or None)
    return Outcome(Status.FAILED, _type_of(error) or default_type, shorten(_message(error)) or None)


def _message(error: dict[str, Any]) -> str:
    """AWS writes `message`, or `Message` where a request was refused before it reached a service."""
    found = (text_of(error.get(key)) for key in ("message", "Message", "detail"))
    return next((message for message in found if message), "")


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text cut to `limit` bytes of UTF-8 on a character boundary."""
    if len(text) * 4 <= limit:
        return text
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode("utf-8", "ignore")


def _type_of(error: dict[str, Any]) -> str:
    """`type` names the class of an error at both providers; `code` where there is no type.

    The event that carries an error has type `error` itself, which says nothing. Google's imitation
    has the name in `status` and the HTTP status in `code`; AWS, where the body has one at all, in
    `__type` after a namespace.
    """
    for key in ("type", "status", "code", "__type"):
        value = error.get(key)
        if isinstance(value, str) and value and value != "error":
            name = value.rpartition("#")[2] if key == "__type" else value
            return shorten(clean(name), _TYPE_LIMIT)
    code = error.get("code")
    return str(code)[:_TYPE_LIMIT] if type(code) is int else ""


def _outcome_of_body(status: int, body: bytes) -> Outcome:
    default_type = f"http_{status}"
    value = parse(body)
    if isinstance(value, list) and value:
        value = value[0]
    found = dict_of(value)
    if error := found.get("error"):
        return failure(error, default_type)
    if any(isinstance(found.get(key), str) for key in ("message", "Message", "detail")):
        return failure(found, default_type)
    text = body[:MESSAGE_LIMIT].decode("utf-8", "replace").strip()
    return Outcome(Status.FAILED, default_type, shorten(text) or None)
