from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

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


class _Answering(BaseHTTPRequestHandler):
    """Answers with the gateway's own error of the status that the model's name says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status = int(self.path.split("/")[2])
        response = error_response(ErrorShape.AWS, status, "a_code", "a \u00e9 message")
        self.send_response(status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        assert isinstance(response.body, bytes)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def bedrock() -> Iterator[Any]:
    """AWS's own client, as boto3 makes it, in front of the gateway's errors."""
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    client = botocore.session.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    yield client
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


# The status decides; those that the service model declares are classes of their own.
AWS_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    405: "ValidationException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    429: "ThrottlingException",
    500: "InternalServerException",
    501: "InternalServerException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, model: client.invoke_model(modelId=model, body=b"{}"),
        lambda client, model: client.invoke_model_with_response_stream(modelId=model, body=b"{}"),
        lambda client, model: client.converse(modelId=model, messages=[]),
        lambda client, model: client.converse_stream(modelId=model, messages=[]),
    ],
    ids=["invoke", "invoke-stream", "converse", "converse-stream"],
)
@pytest.mark.parametrize(("status", "kind"), AWS_TYPES.items())
def test_the_sdk_of_aws_raises_the_right_class(
    bedrock: Any, ask: Any, status: int, kind: str
) -> None:
    expected = getattr(bedrock.exceptions, kind, ClientError)
    assert (expected is ClientError) == (kind == "UnrecognizedClientException")
    with pytest.raises(ClientError) as caught:
        ask(bedrock, str(status))
    assert type(caught.value) is expected
    assert caught.value.response["Error"] == {"Code": kind, "Message": "a \u00e9 message"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_only_the_shape_of_aws_has_its_header() -> None:
    for shape in ErrorShape:
        headers = error_response(shape, 429, "code", "message", {"Retry-After": "1"}).headers
        assert ("x-amzn-errortype" in headers) == (shape is ErrorShape.AWS)
        assert headers["Retry-After"] == "1"
