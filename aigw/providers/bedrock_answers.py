"""What a client of Anthropic's API gets where Bedrock has no such thing, or another form of it.

Streams and messages are translated in `wire`; here are the small answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from aigw.provider_settings import BedrockSettings
from aigw.wire.lenient import Shape, count_of, text_of

# "May be set to an epoch value if the release date is unknown" (Anthropic, "Models").
_UNKNOWN_DATE = "1970-01-01T00:00:00Z"
_MODELS = "/v1/models"
_EVENTS = "/api/event_logging/"
_OK = 200
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """An answer of the gateway's own, in JSON."""

    status: int
    body: bytes


class _Count(msgspec.Struct, gc=False):
    input_tokens: Any = msgspec.field(default=None, name="inputTokens")


class _Failure(msgspec.Struct, gc=False):
    message: Any = None
    other: Any = msgspec.field(default=None, name="Message")


_COUNT = Shape(_Count)
_FAILURE = Shape(_Failure)


def local_answer(settings: BedrockSettings, path: str) -> LocalAnswer | None:
    """The answer to a path (raw, without query) that Bedrock does not have; None for all others.

    Models are those that the configuration names. Claude Code's event logging is accepted and
    goes nowhere: it is for Anthropic, not for AWS.
    """
    path = path.rstrip("/")
    if f"{path}/".startswith(_EVENTS):
        return LocalAnswer(_OK, b"{}")
    if path == _MODELS:
        return _answer(_OK, _page(settings))
    if path.startswith(f"{_MODELS}/"):
        name = unquote(path[len(_MODELS) + 1 :])
        if name in listed_models(settings):
            return _answer(_OK, _model(name))
        return error_answer(
            404, f"model: {name} is not in the gateway's list of models for Bedrock"
        )
    return None


def listed_models(settings: BedrockSettings) -> list[str]:
    """Names that can be asked for, most specific first: the table's own, then the two of Bedrock."""
    names = [name for name in settings.models if "*" not in name]
    return list(dict.fromkeys([*names, settings.model, settings.small_fast_model]))


def count_answer(status: int, body: bytes) -> LocalAnswer:
    """Anthropic's form of what CountTokens answered."""
    if status == _OK:
        found = _COUNT.read(body)
        count = None if found is None else count_of(found.input_tokens)
        if count is None:
            return error_answer(502, "Bedrock's answer holds no token count")
        return _answer(_OK, {"input_tokens": count})
    failure = _FAILURE.read(body) or _Failure()
    message = text_of(failure.message) or text_of(failure.other)
    return error_answer(status, message or f"Bedrock answered {status}")


def error_answer(status: int, message: str) -> LocalAnswer:
    """An error in Anthropic's form."""
    kind = _ERROR_TYPES.get(status, "api_error")
    return _answer(status, {"type": "error", "error": {"type": kind, "message": message}})


def _page(settings: BedrockSettings) -> dict[str, Any]:
    models = [_model(name) for name in listed_models(settings)]
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
    return {"data": models, "has_more": False, "first_id": None, "last_id": None} | ends


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": f"{name} (Bedrock, from the gateway's list)",
        "created_at": _UNKNOWN_DATE,
    }


def _answer(status: int, value: Any) -> LocalAnswer:
    return LocalAnswer(status, json.dumps(value).encode())
