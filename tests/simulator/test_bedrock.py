"""The simulated Bedrock is one to boto3 and Anthropic's client, and believes no wrong signature."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import anthropic
import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from tests.simulator import Simulator, sigv4

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = [
    "anthropic.sim-text",
    "us.anthropic.sim-think+tools-2",
    "anthropic.sim-words-3:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.sim-text",
]
BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
CONVERSATION: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "hello"}]}]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def runtime(simulator: Simulator) -> Iterator[Any]:
    with contextlib.closing(client(simulator)) as running:
        yield running


def client(simulator: Simulator, secret: str = sigv4.SECRET_KEY, **more: Any) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-west-2",
        endpoint_url=simulator.url,
        aws_access_key_id=more.get("key", sigv4.ACCESS_KEY),
        aws_secret_access_key=secret,
        aws_session_token=more.get("token"),
        config=Config(retries={"total_max_attempts": 1}),
    )


def native(simulator: Simulator, **options: Any) -> anthropic.AnthropicBedrock:
    return anthropic.AnthropicBedrock(
        aws_access_key=sigv4.ACCESS_KEY,
        aws_secret_key=sigv4.SECRET_KEY,
        aws_region="us-west-2",
        base_url=simulator.url,
        max_retries=0,
        **options,
    )


@pytest.mark.parametrize("model", MODELS)
def test_boto3_invokes(simulator: Simulator, runtime: Any, model: str) -> None:
    answer = runtime.invoke_model(modelId=model, body=json.dumps(BODY))
    message = json.loads(answer["body"].read())
    assert message["type"] == "message"
    stream = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(BODY))
    events = [json.loads(event["chunk"]["bytes"]) for event in stream["body"]]
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    assert "amazon-bedrock-invocationMetrics" in events[-1]
    assert simulator.signed[-1].signed == sigv4.Signed(sigv4.ACCESS_KEY, "us-west-2", "bedrock")


@pytest.mark.parametrize("model", MODELS)
def test_boto3_converses(runtime: Any, model: str) -> None:
    answer = runtime.converse(modelId=model, messages=CONVERSATION)
    content = answer["output"]["message"]["content"]
    stream = list(runtime.converse_stream(modelId=model, messages=CONVERSATION)["stream"])
    words = [
        event["contentBlockDelta"]["delta"]["text"]
        for event in stream
        if "text" in event.get("contentBlockDelta", {}).get("delta", {})
    ]
    assert "".join(words) == next(block["text"] for block in content if "text" in block)
    assert stream[-1]["metadata"]["usage"] == answer["usage"]
    assert ("toolUse" in content[-1]) == ("tools" in model)


def test_boto3_counts(runtime: Any) -> None:
    body = {"invokeModel": {"body": json.dumps(BODY)}}
    assert runtime.count_tokens(modelId="anthropic.sim-text", input=body)["inputTokens"] > 10
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        runtime.count_tokens(modelId="us.anthropic.sim-text", input=body)


@pytest.mark.parametrize("model", MODELS)
def test_the_anthropic_client_streams(simulator: Simulator, model: str) -> None:
    question: Any = [{"role": "user", "content": "hello"}]
    with native(simulator) as bedrock:
        whole = bedrock.messages.create(model=model, max_tokens=100, messages=question)
        with bedrock.messages.stream(model=model, max_tokens=100, messages=question) as stream:
            streamed = stream.get_final_message()
    unlike = {"parsed_output"}
    assert [block.model_dump(exclude=unlike) for block in streamed.content] == [
        block.model_dump(exclude=unlike) for block in whole.content
    ]
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_the_anthropic_client_speaks_to_mantle(simulator: Simulator) -> None:
    with anthropic.AnthropicBedrockMantle(
        aws_access_key=sigv4.ACCESS_KEY,
        aws_secret_key=sigv4.SECRET_KEY,
        aws_region="us-west-2",
        base_url=simulator.mantle_url,
        max_retries=0,
    ) as mantle:
        answer = mantle.messages.create(
            model="sim-text", max_tokens=10, messages=[{"role": "user", "content": "hello"}]
        )
    assert answer.type == "message"
    assert simulator.signed[-1].signed == sigv4.Signed(
        sigv4.ACCESS_KEY, "us-west-2", "bedrock-mantle"
    )


def test_faults_are_exceptions_of_the_sdk(runtime: Any) -> None:
    with pytest.raises(ClientError) as failed:
        runtime.invoke_model(modelId="anthropic.sim-error-429", body=json.dumps(BODY))
    assert failed.value.response["Error"]["Code"] == "ThrottlingException"
    answer = runtime.invoke_model_with_response_stream(
        modelId="anthropic.sim-break", body=json.dumps(BODY)
    )
    conversation = runtime.converse_stream(modelId="anthropic.sim-break", messages=CONVERSATION)
    for stream in (answer["body"], conversation["stream"]):
        with (
            contextlib.closing(stream),
            pytest.raises(EventStreamError, match="throttlingException"),
        ):
            list(stream)


@pytest.mark.parametrize(
    ("key", "secret", "token", "code"),
    [
        (sigv4.ACCESS_KEY, "wrong", None, "InvalidSignatureException"),
        ("AKIAUNKNOWN", sigv4.SECRET_KEY, None, "UnrecognizedClientException"),
        (sigv4.TEMPORARY_KEY, sigv4.TEMPORARY_SECRET, None, "UnrecognizedClientException"),
        (sigv4.TEMPORARY_KEY, sigv4.TEMPORARY_SECRET, "other", "UnrecognizedClientException"),
        (sigv4.TEMPORARY_KEY, sigv4.TEMPORARY_SECRET, sigv4.SESSION_TOKEN, ""),
    ],
)
def test_wrong_credentials_are_refused(
    simulator: Simulator, key: str, secret: str, token: str | None, code: str
) -> None:
    with contextlib.closing(client(simulator, secret, key=key, token=token)) as runtime:
        try:
            runtime.invoke_model(modelId="anthropic.sim-text", body=json.dumps(BODY))
            refused = ""
        except ClientError as error:
            refused = error.response["Error"]["Code"]
    assert refused == code


@pytest.mark.parametrize("what", ["body", "path", "query", "header", "none"])
def test_a_request_changed_after_it_was_signed_is_refused(
    simulator: Simulator, runtime: Any, what: str
) -> None:
    runtime.invoke_model(modelId="anthropic.sim-text", body=json.dumps(BODY))
    request = simulator.signed[-1]
    headers = {name.decode(): value.decode() for name, value in request.headers}
    path, body = request.path, request.body
    if what == "body":
        body = body.replace(b"hello", b"help!")
    elif what == "path":
        path = path.replace("sim-text", "sim-tool")
    elif what == "query":
        path += "?a=1"
    elif what == "header":
        headers["X-Amz-Extra"] = "1"
    sent = httpx2.post(f"{simulator.url}{path}", content=body, headers=headers, trust_env=False)
    assert sent.status_code == (200 if what == "none" else 403)


def test_what_bedrock_does_not_take_is_refused(runtime: Any) -> None:
    for extra in ({"model": "x"}, {"stream": True}, {"anthropic_beta": ["claude-code-20250219"]}):
        with pytest.raises(ClientError) as refused:
            runtime.invoke_model(modelId="anthropic.sim-text", body=json.dumps(BODY | extra))
        assert refused.value.response["Error"]["Code"] == "ValidationException"
