"""HTTP errors in each provider's own shape, with the headers that clients act on."""

from __future__ import annotations

from typing import Any

from tests.simulator.script import Script
from tests.simulator.sse import to_json

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Site Overloaded",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {
    400: ("invalid_request_error", "invalid_value", "messages[0].role"),
    401: ("invalid_request_error", "invalid_api_key", None),
    403: ("invalid_request_error", "unsupported_country_region_territory", None),
    404: ("invalid_request_error", "model_not_found", None),
    429: ("tokens", "rate_limit_exceeded", None),
}


def api_error(provider: str, status: int, kind: str, message: str, token: str) -> Script:
    """An error answer. An empty `kind` takes the usual one of the status."""
    anthropic = provider == "anthropic"
    request_id = f"req_{token}"
    body = (
        _anthropic(status, kind, message, request_id)
        if anthropic
        else _openai(status, kind, message)
    )
    headers = [
        ("Content-Type", "application/json"),
        ("request-id" if anthropic else "x-request-id", request_id),
    ]
    if status in {429, 503, 529}:
        headers.append(("retry-after", "7"))
        prefix = "anthropic-ratelimit-" if anthropic else "x-ratelimit-"
        headers.append((f"{prefix}tokens-remaining", "0"))
    headers.append(("x-should-retry", "false"))
    reason = _REASONS.get(status, "Error")
    return Script(status=status, reason=reason, headers=headers, body=to_json(body))


def _anthropic(status: int, kind: str, message: str, request_id: str) -> dict[str, Any]:
    error = {"type": kind or _ANTHROPIC_TYPES.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def _openai(status: int, kind: str, message: str) -> dict[str, Any]:
    usual = _OPENAI_TYPES.get(status, ("server_error", "server_error", None))
    error = {"message": message, "type": kind or usual[0], "param": usual[2], "code": usual[1]}
    return {"error": error}
