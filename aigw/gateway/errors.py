"""The gateway's own errors in the shape of the API the client speaks.

Provider errors never pass here: they are relayed byte for byte. Shapes: OpenAI's API reference,
"Error codes"; Anthropic's, "Errors".
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from aigw.providers.provider import ErrorShape

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


def error_body(shape: ErrorShape, status: int, code: str, message: str) -> bytes:
    """The JSON of an error; `code` is a short word that programs may match."""
    if shape is ErrorShape.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return msgspec.json.encode(
            {"type": "error", "error": {"type": kind, "message": message, "code": code}}
        )
    kind = _OPENAI_TYPES.get(status, "server_error")
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    )


def error_response(
    shape: ErrorShape,
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """An answer of the gateway itself. Status, code and message as in `error_body`."""
    return web.Response(
        status=status,
        body=error_body(shape, status, code, message),
        content_type="application/json",
        headers=headers,
    )
