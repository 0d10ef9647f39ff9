"""boto3's client of the Bedrock runtime with the gateway as its endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
import urllib3

from tests.certificates import new_pair
from tests.e2e import bedrock
from tests.e2e.asking import JSON_HEADERS
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.raw import ask, end_to_end
from tests.simulator import sigv4
from tests.simulator.plan import make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Received, Simulator

Model = Callable[[str], str]
OPERATIONS = ("invoke_model", "invoke_model_with_response_stream", "converse", "converse_stream")
ROUTES = dict(
    zip(
        OPERATIONS,
        ("invoke", "invoke-with-response-stream", "converse", "converse-stream"),
        strict=True,
    )
)
by_operation = pytest.mark.parametrize("operation", OPERATIONS)


def _table(simulator: Simulator, **more: Any) -> str:
    settings = {
        "bedrock_base_url": simulator.url,
        "bedrock_region": bedrock.REGION,
        "bedrock_access_key": sigv4.ACCESS_KEY,
        "bedrock_access_key_secret": sigv4.SECRET_KEY,
    }
    return bedrock.table("bedrock", "aws", settings | more)


@pytest.fixture(scope="module")
def daemon(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in open mode, with rules for some models."""
    rules = {
        "deny_models": ["*secret*"],
        "model_aliases": {"anthropic.nick": "anthropic.sim-words-7"},
    }
    folder = tmp_path_factory.mktemp("boto3")
    configuration = _table(simulator, **rules)
    with Daemon(folder, simulator.openai_url, "", configuration=configuration) as running:
        yield running


def _call(client: Any, operation: str, model: str, prompt: str = "hello") -> dict[str, Any]:
    """Ask, read the answer to its end, and put what was read in place of the stream."""
    if "converse" in operation:
        arguments: dict[str, Any] = {
            "messages": [{"role": "user", "content": [{"text": prompt}]}],
            "toolConfig": bedrock.WEATHER_CONVERSE,
        }
    else:
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": prompt}],
        }
        arguments = {"body": json.dumps(body)}
    answer: dict[str, Any] = getattr(client, operation)(modelId=model, **arguments)
    for name in ("body", "stream"):
        if name in answer:
            with closing(answer[name]) as body:
                answer[name] = body.read() if operation == "invoke_model" else list(body)
    return answer


def _sent(simulator: Simulator, operation: str, number: int) -> Received:
    return [each for each in simulator.requests if each.path.endswith(f"/{ROUTES[operation]}")][
        number
    ]


@by_operation
@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("eu.anthropic.", ""), ("anthropic.", ":0"), (bedrock.ARN, ":0")],
    ids=["profile", "colon", "arn"],
)
def test_what_boto3_sees(
    simulator: Simulator, daemon: Daemon, model: Model, operation: str, prefix: str, suffix: str
) -> None:
    name = model("think+tools-2+cached")
    identity = f"{prefix}{name}{suffix}"
    direct = bedrock.runtime(simulator.url, sigv4.ACCESS_KEY, sigv4.SECRET_KEY)
    through = bedrock.runtime(f"{daemon.address}/api/v2/aibridge/aws")
    seen = [_call(client, operation, identity) for client in (direct, through)]
    for answer in seen:
        for header in ("date", "transfer-encoding", "content-length"):
            answer["ResponseMetadata"]["HTTPHeaders"].pop(header, None)
    assert seen[0] == seen[1]
    first, second = (_sent(simulator, operation, number) for number in (-2, -1))
    assert first.target == second.target
    assert first.body == second.body
    bedrock.check_signed(second)
    found = daemon.only(identity)
    assert found.start["route"] == f"/model/*/{ROUTES[operation]}"
    assert found.start["provider_name"] == "aws"
    assert found.start["requested_model"] is None
    assert found.ended["streaming"] is operation.endswith("stream")
    assert [each["prompt"] for each in found.prompts] == ["hello"]
    bedrock.check_credential(found, "AKIA...0001")
    tools = [{"name": "get_weather"}] if "converse" in operation else []
    content: Any = [{"text": "hello"}] if "converse" in operation else "hello"
    messages = [{"role": "user", "content": content}]
    plan = make_plan({"model": name, "messages": messages, "tools": tools})
    (usage,) = found.token_usages
    assert usage["input_tokens"] == plan.input_tokens - plan.cached_tokens
    assert usage["output_tokens"] == plan.output_tokens
    assert usage["cache_read_input_tokens"] == plan.cached_tokens
    assert [json.loads(call["input"]) for call in found.tool_usages] == [
        call.arguments for call in plan.calls
    ]
    assert [each["content"] for each in found.thoughts] == ["".join(plan.thinking)]


@by_operation
def test_bytes_of_requests_and_answers(
    simulator: Simulator, daemon: Daemon, model: Model, operation: str
) -> None:
    """Odd spacing, numbers and escapes: what a parser would have written otherwise."""
    path = f"/model/anthropic.{model('tools-2')}%3A0/{ROUTES[operation]}"
    body = (
        b' {"messages" : [{"role":"user","content":[{"text":"h\\u00e9","type":"text"}]}],\n'
        b'"anthropic_version":"bedrock-2023-05-31","max_tokens":1e2, "temperature":1.50}'
    )
    answer = ask(daemon.port, "POST", f"/aws{path}", body, JSON_HEADERS)
    arrived = simulator.requests[-1]
    assert (arrived.target, arrived.body) == (path, body)
    bedrock.check_signed(arrived)
    call = [(name, value) for name, value in arrived.headers if name.lower() != b"host"]
    host = (b"Host", f"127.0.0.1:{simulator.port}".encode())
    sent = [host, *end_to_end(call)]
    sent = [(name, value) for name, value in sent if name != b"content-length"]
    direct = ask_with_host(simulator.port, path, body, sent)
    assert answer.status == direct.status == 200
    assert answer.body == direct.body
    assert answer.end_to_end("content-length") == direct.end_to_end("content-length")


def ask_with_host(port: int, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> Any:
    return ask(port, "POST", path, body, headers, host=False)


def _refused(client: Any, operation: str, model: str, **more: Any) -> Any:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        _call(client, operation, model, **more)
    return caught.value


@by_operation
def test_a_denied_model(simulator: Simulator, daemon: Daemon, model: Model, operation: str) -> None:
    identity = f"anthropic.{model('text')}-secret"
    client = bedrock.runtime(f"{daemon.address}/aws")
    error = _refused(client, operation, identity)
    assert isinstance(error, client.exceptions.ResourceNotFoundException)
    assert "denies models matching" in str(error)
    assert not [each for each in simulator.requests if "secret" in each.path]
    ended = daemon.only(identity).ended
    assert (ended["status"], ended["status_code"]) == ("failed", 404)
    assert ended["error_type"] == "model_not_found"
    assert ended["attempts"] == 0


@by_operation
def test_an_alias_is_put_into_the_path(
    simulator: Simulator, daemon: Daemon, operation: str
) -> None:
    before = len(daemon.interceptions())
    client = bedrock.runtime(f"{daemon.address}/aws")
    _call(client, operation, "anthropic.nick")
    request = simulator.requests[-1]
    assert request.path == f"/model/anthropic.sim-words-7/{ROUTES[operation]}"
    bedrock.check_signed(request)
    start = daemon.interceptions()[before].start
    assert start["model"] == "anthropic.sim-words-7"
    assert start["requested_model"] == "anthropic.nick"
    assert start["model_rule"] == 'alias "anthropic.nick" = "anthropic.sim-words-7"'


@by_operation
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_aws_s_errors_are_relayed(
    daemon: Daemon, model: Model, operation: str, status: int, kind: str
) -> None:
    identity = f"anthropic.{model(f'error-{status}')}"
    client = bedrock.runtime(f"{daemon.address}/aws")
    assert isinstance(_refused(client, operation, identity), getattr(client.exceptions, kind))
    ended = daemon.only(identity).ended
    assert (ended["status"], ended["status_code"]) == ("failed", status)


@pytest.mark.parametrize("operation", ["invoke_model_with_response_stream", "converse_stream"])
def test_an_exception_in_the_stream(daemon: Daemon, model: Model, operation: str) -> None:
    identity = f"anthropic.{model('break')}"
    client = bedrock.runtime(f"{daemon.address}/aws")
    with pytest.raises(botocore.exceptions.EventStreamError, match="throttlingException"):
        _call(client, operation, identity)
    assert daemon.when_ended(identity).status == "failed"


@by_operation
def test_a_cut_answer(daemon: Daemon, model: Model, operation: str) -> None:
    identity = f"anthropic.{model('words-50+cut')}"
    client = bedrock.runtime(f"{daemon.address}/aws")
    if operation == "converse":
        # botocore takes a whole body however short, and finds nothing in it: with AWS as well.
        assert "output" not in _call(client, operation, identity)
    else:
        with pytest.raises((botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError)):
            _call(client, operation, identity)
    assert daemon.when_ended(identity).status == "failed"


def test_an_unknown_route(daemon: Daemon) -> None:
    client = bedrock.runtime(f"{daemon.address}/aws")
    with pytest.raises(botocore.exceptions.ClientError, match="route not supported") as caught:
        client.list_async_invokes()
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    answer = ask(daemon.port, "POST", "/aws/v1/complete", b"{}", JSON_HEADERS)
    assert answer.status == 404
    assert json.loads(answer.body)["error"]["type"] == "not_found_error"


def test_nothing_is_listening_upstream(start_daemon: StartDaemon, simulator: Simulator) -> None:
    table = _table(simulator, bedrock_base_url="http://127.0.0.1:9")
    daemon = start_daemon(urls=False, configuration=table)
    client = bedrock.runtime(f"{daemon.address}/aws")
    error = _refused(client, "converse", "anthropic.sim-text")
    assert isinstance(error, client.exceptions.ServiceUnavailableException)
    assert "connect" in str(error)


def test_with_gateway_keys(
    start_daemon: StartDaemon,
    simulator: Simulator,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pair = new_pair(tmp_path)
    tls = ("--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key))
    daemon = start_daemon(*tls, urls=False, configuration=_table(simulator))
    # botocore sends bearer tokens over TLS only.
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pair.cert))
    words = ("keys", "create", "ci", "--user", "ann", "--db", str(daemon.database))
    done = run_aigw(daemon.folder, *words)
    assert done.returncode == 0, done.stderr
    key = next(word for word in done.stdout.split() if word.startswith("aigw_"))
    url = f"{daemon.address}/aws"
    client = bedrock.runtime(url)
    error = _refused(client, "converse", "anthropic.sim-text")
    assert error.response["Error"]["Code"] == "UnrecognizedClientException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert "gateway" in str(error)

    client.meta.events.register("before-send", _with_header(key))
    names = [f"anthropic.{model('text')}"]
    _call(client, "converse", names[0])

    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", key)
    bearer = bedrock.runtime(url, "", "")
    for operation in OPERATIONS:
        names.append(f"anthropic.{model('text')}")
        _call(bearer, operation, names[-1])
    requests = simulator.requests[-len(names) :]
    for request, name in zip(requests, names, strict=True):
        bedrock.check_signed(request)
        found = daemon.only(name)
        assert found.start["initiator_id"] == "ann"
        bedrock.check_credential(found, "AKIA...0001")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", f"{key[:-1]}!")
    error = _refused(bedrock.runtime(url, "", ""), "converse", "anthropic.sim-text")
    assert error.response["Error"]["Code"] == "UnrecognizedClientException"


def _with_header(key: str) -> Callable[..., None]:
    def add(request: Any, **_: Any) -> None:
        request.headers["X-Coder-AI-Governance-Token"] = key

    return add
