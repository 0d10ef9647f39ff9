"""The gateway's own errors in the shape of the API the client speaks.

Provider errors never pass here: they are relayed byte for byte. Shapes: OpenAI's API reference,
"Error codes"; Anthropic's, "Errors"; AWS's restJson1 protocol (smithy.io/2.0/aws/protocols), whose
clients find an error's class in a header.
"""

from __future__ import annotations

import math

import msgspec
from aiohttp import web

from aigw.errors import RefusedError
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
# The errors that the service model of bedrock-runtime declares, so that SDKs raise the class of
# that name; UnrecognizedClientException is what AWS itself says to credentials it does not know.
_AWS_TYPES = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}
_AWS_TYPE_HEADER = "x-amzn-errortype"


def error_body(shape: ErrorShape, status: int, code: str, message: str, kind: str = "") -> bytes:
    """The JSON of an error; `code` is a short word that programs may match (AWS's has none).

    `kind` is the error's type, where it is not the one that the API has for the status.
    """
    if shape is ErrorShape.AWS:
        return msgspec.json.encode({"message": message})
    if shape is ErrorShape.ANTHROPIC:
        kind = kind or _ANTHROPIC_TYPES.get(status, "api_error")
        return msgspec.json.encode(
            {"type": "error", "error": {"type": kind, "message": message, "code": code}}
        )
    kind = kind or _OPENAI_TYPES.get(status, "server_error")
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    )


def error_response(
    shape: ErrorShape,
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    retry_after: float | None = None,
    kind: str = "",
) -> web.Response:
    """An answer of the gateway itself. Status, code, message and kind as in `error_body`."""
    headers = dict(headers or {})
    if shape is ErrorShape.AWS:
        headers[_AWS_TYPE_HEADER] = _aws_type(status)
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return web.Response(
        status=status,
        body=error_body(shape, status, code, message, kind),
        content_type="application/json",
        headers=headers,
    )


def refused(shape: ErrorShape, error: RefusedError) -> web.Response:
    """The answer to a request that the gateway will not serve."""
    headers = dict(error.headers)
    if error.status == _UNAUTHORIZED:
        headers |= CHALLENGE
        if error.code != EXPIRED_KEY:
            headers |= NO_RETRY
    if error.allow is not None:
        headers["Allow"] = error.allow
    return error_response(
        shape,
        error.status,
        error.code,
        str(error),
        headers,
        retry_after=error.retry_after,
        kind=error.kind,
    )


_UNAUTHORIZED = 401
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="aigw"'}
"""Goes with each 401 (RFC 9110 section 15.5.2)."""

NO_RETRY = {"x-should-retry": "false"}
"""The SDKs of OpenAI and Anthropic then send a request once, whatever the status. Without it Claude Code
asks eleven times after a 401, for minutes and without a word in `claude -p`."""

EXPIRED_KEY = "expired_gateway_key"
"""The code of the one 401 after which trying again may help: after a 401 that it may try again, Claude
Code has its `apiKeyHelper` get a new key (https://code.claude.com/docs/en/authentication)."""


def _aws_type(status: int) -> str:
    last_of_client = 499
    default = "ValidationException" if status <= last_of_client else "InternalServerException"
    return _AWS_TYPES.get(status, default)
