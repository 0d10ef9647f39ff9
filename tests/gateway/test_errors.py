from __future__ import annotations

import json

import pytest

from aigw.gateway.errors import error_body, error_response
from aigw.providers.provider import ErrorShape

STATUSES = [400, 401, 403, 404, 405, 413, 429, 500, 502, 503, 504]


@pytest.mark.parametrize("status", STATUSES)
def test_the_shape_of_openai(status: int) -> None:
    body = json.loads(error_body(ErrorShape.OPENAI, status, "a_code", 'a "message" \u00e9'))
    error = body.pop("error")
    assert body == {}
    kind = error.pop("type")
    assert error == {"message": 'a "message" \u00e9', "param": None, "code": "a_code"}
    expected = "server_error" if status >= 500 else "invalid_request_error"
    assert kind == ("rate_limit_error" if status == 429 else expected)


# docs.anthropic.com, "Errors": the status decides the type.
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@pytest.mark.parametrize("status", STATUSES)
def test_the_shape_of_anthropic(status: int) -> None:
    body = json.loads(error_body(ErrorShape.ANTHROPIC, status, "a_code", "a message"))
    assert body == {
        "type": "error",
        "error": {"type": ANTHROPIC_TYPES[status], "message": "a message", "code": "a_code"},
    }


@pytest.mark.parametrize("shape", list(ErrorShape))
def test_an_answer(shape: ErrorShape) -> None:
    response = error_response(shape, 405, "code", "message", {"Allow": "POST"})
    assert response.status == 405
    assert response.content_type == "application/json"
    assert response.headers["Allow"] == "POST"
    assert response.body == error_body(shape, 405, "code", "message")
