"""AWS's errors as the Messages API words them.

Names: Amazon Bedrock runtime API reference, "Common Errors" and the errors of InvokeModel. Types:
platform.claude.com docs, "Errors".
"""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.lenient import dict_of, parse, text_of

_TYPES = {
    "accessdenied": "permission_error",
    "expiredtoken": "authentication_error",
    "incompletesignature": "authentication_error",
    "internalfailure": "api_error",
    "internalserver": "api_error",
    "invalidsignature": "authentication_error",
    "missingauthenticationtoken": "authentication_error",
    "modelerror": "api_error",
    "modelnotready": "overloaded_error",
    "modelstreamerror": "api_error",
    "modeltimeout": "timeout_error",
    "resourcenotfound": "not_found_error",
    "servicequotaexceeded": "rate_limit_error",
    "serviceunavailable": "overloaded_error",
    "throttling": "rate_limit_error",
    "toomanyrequests": "rate_limit_error",
    "unknownoperation": "not_found_error",
    "unrecognizedclient": "authentication_error",
    "validation": "invalid_request_error",
}
"""By the error's name in lower case, without the `Exception` or `Error` at its end."""

_STATUSES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    424: "api_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CLIENT_ERRORS = range(400, 500)


def error_type(name: str, status: int = 500) -> str:
    """The Messages API's type for an AWS error, by the status where the name is not known.

    AWS writes names as `ThrottlingException:http://internal.amazon.com/coral/...`, in the body
    also as `com.amazon.coral.service#ThrottlingException`.
    """
    plain = name.partition(":")[0].rpartition("#")[2].lower()
    known = _TYPES.get(plain.removesuffix("exception").removesuffix("error"))
    # `ModelErrorException` keeps an `error` that belongs to its name.
    known = known or _TYPES.get(plain.removesuffix("exception"))
    if known:
        return known
    default = "invalid_request_error" if status in _CLIENT_ERRORS else "api_error"
    return _STATUSES.get(status, default)


def error_body(kind: str, message: str, request_id: str) -> bytes:
    """An error object of the Messages API, with the request's id where it is known."""
    body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    if request_id:
        body["request_id"] = request_id
    return msgspec.json.encode(body)


def translated_error(body: bytes, name: str, status: int, request_id: str) -> bytes | None:
    """The body of an AWS error (`{"message": ...}`) as the Messages API's; None for any other."""
    found = dict_of(parse(body))
    message = text_of(found.get("message")) or text_of(found.get("Message"))
    if not message or "error" in found:
        return None
    return error_body(error_type(name or text_of(found.get("__type")), status), message, request_id)
