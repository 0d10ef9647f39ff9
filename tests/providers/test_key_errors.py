from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw.providers.key_errors import key_refusal
from aigw.providers.key_pool import Event

RATE, AUTH = Event.RATE_LIMITED, Event.AUTH_FAILED


def openai(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


GOOGLE = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
    }
}


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (401, openai("Incorrect API key provided: sk-1", "invalid_api_key"), AUTH),
        (401, b"", AUTH),
        (401, b"<html>who are you?</html>", AUTH),
        (429, openai("Rate limit reached", "rate_limit_exceeded"), RATE),
        (429, openai("You exceeded your current quota", "insufficient_quota"), RATE),
        (429, b"", RATE),
        (403, openai("no", "invalid_api_key"), AUTH),
        (403, openai("Invalid API key"), AUTH),
        (403, b"invalid api key, url: https://x", AUTH),
        (403, GOOGLE, AUTH),
        (400, GOOGLE, AUTH),
        (400, [GOOGLE], AUTH),
        (403, {"message": "The security token included in the request is invalid."}, AUTH),
        (
            403,
            {"Message": "Authentication failed: Please make sure your API Key is valid."},
            AUTH,
        ),
        (403, {"__type": "com.amazon.coral.service#UnrecognizedClientException"}, AUTH),
        (403, {"__type": "ExpiredTokenException", "message": "x"}, AUTH),
        # The key is fine, but not for this.
        (403, {"error": {"type": "permission_error", "message": "no access to this model"}}, None),
        (403, {"message": "You don't have access to the model with the specified model ID."}, None),
        (403, openai("Country not supported", "unsupported_country_region_territory"), None),
        (403, b"", None),
        (403, b"<html>API key not valid</html>", None),
        (400, openai("bad role", "invalid_value"), None),
        (400, b"", None),
        # The request's own fault, whatever the status.
        (401, openai("You have insufficient permissions for this operation. Missing s"), None),
        (401, {"error": "You have insufficient permissions for this operation."}, None),
        (401, openai("Missing scopes: api.responses.write"), None),
        (429, openai("Request too large for gpt-4o on TPM: Limit 30000, Requested 9e4"), None),
        # Nothing that another key could change.
        (200, openai("", "invalid_api_key"), None),
        (404, openai("", "invalid_api_key"), None),
        (500, openai("", "invalid_api_key"), None),
        (529, openai("", "invalid_api_key"), None),
    ],
)
def test_what_an_error_says_of_the_key(status: int, body: Any, verdict: Event | None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert key_refusal(status, CIMultiDict(), data) is verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("UnrecognizedClientException:http://internal.amazon.com/coral/", AUTH),
        ("InvalidSignatureException", AUTH),
        ("AccessDeniedException:http://internal.amazon.com/coral/", None),
    ],
)
def test_aws_says_it_in_a_header(value: str, verdict: Event | None) -> None:
    headers = CIMultiDict({"X-Amzn-ErrorType": value})
    assert key_refusal(403, headers, b'{"message":"..."}') is verdict


@pytest.mark.parametrize(
    "name", ["invalid_api_key", "API_KEY_INVALID", "API key not valid", "ExpiredTokenException"]
)
def test_a_client_cannot_take_a_key_out_by_the_model_it_names(name: str) -> None:
    error = {"error": {"message": f"no access to model `{name}`", "param": name, "code": "denied"}}
    for status in (400, 403):
        assert key_refusal(status, CIMultiDict(), json.dumps(error).encode()) is None


@given(st.sampled_from([400, 401, 403, 429]), st.binary(max_size=200))
def test_no_body_breaks_it(status: int, body: bytes) -> None:
    key_refusal(status, CIMultiDict(), body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["error", "details", "message", "code", "type", "__type"]), inner
            )
        ),
    )
)
def test_no_json_breaks_it(body: Any) -> None:
    key_refusal(403, CIMultiDict(), json.dumps(body).encode())


def test_a_deep_body_breaks_nothing() -> None:
    assert key_refusal(429, CIMultiDict(), b"[" * 60_000) is RATE
