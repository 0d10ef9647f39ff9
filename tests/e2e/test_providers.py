"""Providers of every type beside each other, from numbered variables and from a file; model rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.bedrock import REGION, table
from tests.e2e.daemon import Daemon
from tests.e2e.raw import Answer, Headers, ask
from tests.simulator import Received, Script, Simulator, sigv4
from tests.simulator.encodings import compress

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

KEYS = {
    "openai": "sk-canary-first-aaaa1111",
    "second": "sk-canary-second-bbbb2222",
    "local": "sk-canary-local-cccc3333",
    "azure": "azure-canary-key-dddd4444",
}
TOKEN = "gho_canary-of-the-user-eeee5555"
STATIC = "static-canary-ffff6666"
JSON: Headers = [(b"Content-Type", b"application/json")]
LOGIN: Headers = [(b"Authorization", f"Bearer {TOKEN}".encode())]

ROUTES = {
    "openai": ("/v1", ("/chat/completions", "/responses")),
    "second": ("/v1", ("/chat/completions", "/responses")),
    "local": ("/v1", ("/chat/completions", "/responses")),
    "azure": ("/v1", ("/chat/completions", "/responses")),
    "copilot": ("", ("/chat/completions", "/responses", "/v1/messages")),
    "chatgpt": ("/v1", ("/responses",)),
}
"""By provider: what its routes begin with, and those that are recorded."""
EVERY_ROUTE = [(name, before, path) for name, (before, paths) in ROUTES.items() for path in paths]


def _described(url: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Type, name and settings of each provider."""
    return [
        ("openai", "openai", {"base_url": f"{url}/first/v1", "key": KEYS["openai"]}),
        ("openai", "second", {"base_url": f"{url}/second/v1/", "key": KEYS["second"]}),
        ("openai-compat", "local", {"base_url": f"{url}/local", "keys": [KEYS["local"]]}),
        ("azure", "azure", {"base_url": f"{url}/azure/openai/v1", "key": KEYS["azure"]}),
        ("copilot", "copilot", {"base_url": f"{url}/copilot"}),
        ("chatgpt", "chatgpt", {"base_url": f"{url}/chatgpt/codex"}),
    ]


HEADERS = {"X-Static": STATIC, "User-Agent": "aigw-e2e"}
UPSTREAM = {
    "openai": "/first/v1",
    "second": "/second/v1",
    "local": "/local",
    "azure": "/azure/openai/v1",
    "copilot": "/copilot",
    "chatgpt": "/chatgpt/codex",
}


def _variables(url: str) -> dict[str, str]:
    variables = {}
    for number, (kind, name, settings) in enumerate(_described(url)):
        prefix = f"CODER_AIBRIDGE_PROVIDER_{number}_"
        variables |= {f"{prefix}TYPE": kind, f"{prefix}NAME": name}
        for setting, value in settings.items():
            text = value if isinstance(value, str) else ",".join(value)
            variables[f"{prefix}{setting.upper()}"] = text
    pairs = ",".join(f"{name}={value}" for name, value in HEADERS.items())
    variables["CODER_AIBRIDGE_PROVIDER_1_HEADERS"] = pairs
    return variables


def _toml(url: str) -> str:
    tables = []
    for kind, name, settings in _described(url):
        more = {"headers": HEADERS} if name == "second" else {}
        tables.append(table(kind, name, settings | more))
    return "".join(tables)


@pytest.fixture(scope="module", params=["variables", "file"])
def daemon(
    request: pytest.FixtureRequest,
    simulator: Simulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daemon]:
    """A daemon with providers of all these types."""
    folder = tmp_path_factory.mktemp(f"providers-{request.param}")
    variables = _variables(simulator.url) if request.param == "variables" else {}
    configuration = _toml(simulator.url) if request.param == "file" else ""
    with Daemon(folder, "", "", environment=variables, configuration=configuration) as running:
        yield running


def _body(path: str, model: str, **more: Any) -> bytes:
    turns = [{"role": "user", "content": "hello"}]
    field = "input" if path.endswith("/responses") else "messages"
    return json.dumps({"model": model, field: turns, "max_tokens": 9, **more}).encode()


def _credentials(request: Received) -> dict[str, list[str]]:
    names = ("authorization", "x-api-key", "api-key")
    return {name: values for name in names if (values := request.values(name))}


def _expected(name: str) -> dict[str, list[str]]:
    if name == "azure":
        return {"api-key": [KEYS["azure"]]}
    return {"authorization": [f"Bearer {KEYS.get(name, TOKEN)}"]}


def _error(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


@pytest.mark.parametrize(("name", "before", "path"), EVERY_ROUTE)
@pytest.mark.parametrize("stream", [False, True])
def test_every_recorded_route(
    simulator: Simulator,
    daemon: Daemon,
    model: Model,
    name: str,
    before: str,
    path: str,
    stream: bool,
) -> None:
    asked = model("tools-2")
    body = _body(path, asked, stream=stream)
    answer = ask(daemon.port, "POST", f"/{name}{before}{path}?a=b", body, JSON + LOGIN)
    assert answer.status == 200
    (request,) = simulator.matching(asked.encode())
    assert request.target == f"{UPSTREAM[name]}{path}?a=b"
    assert _credentials(request) == _expected(name)
    found = daemon.only(asked)
    assert found.start["route"] == before + path
    assert found.start["provider_name"] == name
    assert found.start["provider"] == ("copilot" if name == "copilot" else "openai")
    kind = "centralized" if name in KEYS else "byok"
    assert found.start["credential_kind"] == kind
    assert found.start["credential_hint"].endswith(KEYS.get(name, TOKEN)[-4:])
    assert found.status == "completed"
    assert len(found.tool_usages) == 2
    assert len(found.token_usages) == 1


def test_static_headers(simulator: Simulator, daemon: Daemon, model: Model) -> None:
    for name, expected in (("second", [STATIC]), ("openai", [])):
        asked = model("text")
        with openai.OpenAI(
            base_url=f"{daemon.address}/{name}/v1", api_key="sk-client", max_retries=0
        ) as client:
            client.chat.completions.create(
                model=asked,
                messages=[{"role": "user", "content": "hello"}],
                extra_headers={"X-Static": "the client's"} if expected else {},
            )
            client.models.list()
        (recorded,) = simulator.matching(asked.encode())
        for request in (recorded, simulator.requests[-1]):
            assert request.values("x-static") == expected
            assert (request.values("user-agent") == ["aigw-e2e"]) is bool(expected)
            assert b"sk-client" not in request
        assert STATIC not in str(daemon.only(asked))


@pytest.mark.parametrize("name", ["copilot", "chatgpt"])
def test_personal_providers_need_the_user_s_login(
    simulator: Simulator, daemon: Daemon, model: Model, name: str
) -> None:
    before, paths = ROUTES[name]
    before_count = len(simulator.requests)
    for path in (*paths, "/models"):
        method = "GET" if path == "/models" else "POST"
        body = None if path == "/models" else _body(path, model("text"))
        answer = ask(daemon.port, method, f"/{name}{before}{path}", body, JSON)
        assert answer.status == 401
        assert "login" in _error(answer)["message"]
    assert len(simulator.requests) == before_count


@pytest.mark.parametrize(
    "path", ["/embeddings", "/models", "/agents/swe", "/mcp/readonly", "/.well-known/x"]
)
def test_other_routes_of_copilot_pass(simulator: Simulator, daemon: Daemon, path: str) -> None:
    count = len(daemon.interceptions())
    simulator.script(Script(body=b"passed"), match=path.encode())
    answer = ask(daemon.port, "POST", f"/copilot{path}?x=y", b'{"input":1}', JSON + LOGIN)
    assert (answer.status, answer.body) == (200, b"passed")
    request = simulator.requests[-1]
    assert (request.target, request.body) == (f"/copilot{path}?x=y", b'{"input":1}')
    assert _credentials(request) == _expected("copilot")
    assert len(daemon.interceptions()) == count


@pytest.mark.parametrize("path", ["/openai/v1/files", "/azure/v1/embeddings", "/local/v1/fine"])
def test_other_routes_do_not(daemon: Daemon, path: str) -> None:
    assert ask(daemon.port, "POST", path, b"{}", JSON).status == 404


# -- rules for models --

RULES = {
    "allow_models": ["sim-*", "gpt-5*"],
    "deny_models": ["*-pro*"],
    "model_aliases": {"fast": "sim-words-7", "gpt-5-pro": "sim-text"},
}


@pytest.fixture(scope="module")
def ruled(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose providers have rules; one is switched off."""
    url = simulator.url
    aws = {
        "bedrock_base_url": url,
        "bedrock_region": REGION,
        "bedrock_access_key": sigv4.ACCESS_KEY,
        "bedrock_access_key_secret": sigv4.SECRET_KEY,
        "allow_models": ["anthropic.sim-*", "claude-*"],
        "deny_models": ["*-pro*"],
        "model_aliases": {"fast": "anthropic.sim-words-7"},
    }
    names = {"model_aliases": RULES["model_aliases"]}
    configuration = (
        table("openai", "openai", {"base_url": f"{url}/v1", "key": KEYS["openai"]} | RULES)
        + table("anthropic", "anthropic", {"base_url": url} | RULES)
        + table("openai-compat", "named", {"base_url": f"{url}/v1"} | names)
        + table("bedrock", "aws", aws)
        + table("openai", "off", {"base_url": f"{url}/v1", "enabled": False})
    )
    folder = tmp_path_factory.mktemp("ruled")
    with Daemon(folder, "", "", configuration=configuration) as running:
        yield running


PATHS = ["/openai/v1/chat/completions", "/openai/v1/responses", "/anthropic/v1/messages"]
by_path = pytest.mark.parametrize("path", PATHS)


def _last(daemon: Daemon) -> Any:
    return daemon.interceptions()[-1]


@by_path
def test_what_is_allowed_is_not_changed(
    simulator: Simulator, ruled: Daemon, model: Model, path: str
) -> None:
    asked = model("text")
    body = _body(path, asked).replace(b", ", b" ,\n ")
    assert ask(ruled.port, "POST", path, body, JSON).status == 200
    (request,) = simulator.matching(asked.encode())
    assert request.body == body
    assert ruled.only(asked).start["model_rule"] is None


@by_path
@pytest.mark.parametrize(
    ("asked", "said"), [("sim-x-pro", "denies"), ("o3", "allows only"), ("SIM-PRO-PRO", "denies")]
)
def test_what_is_refused(
    simulator: Simulator, ruled: Daemon, path: str, asked: str, said: str
) -> None:
    count = len(simulator.requests)
    answer = ask(ruled.port, "POST", path, _body(path, asked, stream=True), JSON)
    assert answer.status == 404
    assert said in _error(answer)["message"]
    found = _last(ruled)
    assert found.start["model"] == asked
    assert found.ended["status"] == "failed"
    assert found.ended["status_code"] == 404
    assert found.ended["error_type"] == "model_not_found"
    assert said in found.ended["error_message"]
    assert found.ended["attempts"] == 0
    assert [each["prompt"] for each in found.prompts] == ["hello"]
    assert len(simulator.requests) == count


@by_path
@pytest.mark.parametrize(("asked", "meant"), RULES["model_aliases"].items())  # type: ignore[attr-defined]
def test_an_alias_is_spliced(
    simulator: Simulator, ruled: Daemon, path: str, asked: str, meant: str
) -> None:
    field = "input" if path.endswith("responses") else "messages"
    form = (
        ' \n{"temperature" : 1.50,"metadata":{"model":"fast"} , "%s":[{"role":"user","content":'
        '"h\\u00e9 \U0001f600"}],"max_tokens":1e2,\t"model" :"%s" ,"x":[1,2 ,3 ]}\r\n'
    )
    body, expected = ((form % (field, name)).encode() for name in (asked, meant))
    assert ask(ruled.port, "POST", path, body, JSON).status == 200
    request = simulator.requests[-1]
    assert request.body == expected
    assert request.values("content-length") == [str(len(expected))]
    start = _last(ruled).start
    assert (start["model"], start["requested_model"]) == (meant, asked)
    assert start["model_rule"] == f'alias "{asked}" = "{meant}"'


TWICE = [
    b'{"model":"sim-text","messages":[],"model":"sim-x-pro"}',
    b'{"model":"sim-x-pro","messages":[],"model":"sim-text"}',
    b'{"model":"sim-text","Model":"sim-x-pro","messages":[]}',
    b'{"model":"sim-text","mod\\u0065l":"sim-x-pro","messages":[]}',
]


@pytest.mark.parametrize("path", [*PATHS, "/named/v1/chat/completions"])
@pytest.mark.parametrize("body", TWICE)
@pytest.mark.parametrize("coding", ["", "gzip", "br"])
def test_a_second_model_is_refused(
    simulator: Simulator, ruled: Daemon, path: str, body: bytes, coding: str
) -> None:
    count = len(simulator.requests)
    headers = list(JSON)
    if coding:
        body = compress(coding, body)
        headers.append((b"Content-Encoding", coding.encode()))
    answer = ask(ruled.port, "POST", path, body, headers)
    assert answer.status == 400
    assert "more than once" in _error(answer)["message"]
    assert _last(ruled).ended["error_type"] == "ambiguous_model"
    assert len(simulator.requests) == count


@by_path
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_compressed_bodies_are_judged_and_renamed(
    simulator: Simulator, ruled: Daemon, model: Model, path: str, coding: str
) -> None:
    headers = [*JSON, (b"Content-Encoding", coding.encode())]
    count = len(simulator.requests)
    answer = ask(ruled.port, "POST", path, compress(coding, _body(path, "sim-x-pro")), headers)
    assert answer.status == 404
    assert len(simulator.requests) == count
    body = compress(coding, _body(path, model("text")))
    assert ask(ruled.port, "POST", path, body, headers).status == 200
    assert simulator.requests[-1].body == body
    body = compress(coding, _body(path, "fast"))
    assert ask(ruled.port, "POST", path, body, headers).status == 200
    request = simulator.requests[-1]
    assert request.plain_body() == _body(path, "sim-words-7")
    assert _last(ruled).start["requested_model"] == "fast"


@by_path
def test_what_cannot_be_read_is_refused(simulator: Simulator, ruled: Daemon, path: str) -> None:
    count = len(simulator.requests)
    body = _body(path, "sim-x-pro")
    packed = compress("gzip", body)
    for sent, coding in (
        (packed, b""),
        (packed, b"identity"),
        (packed, b"x-unknown"),
        (packed[:-9], b"gzip"),
        (body, b"gzip"),
        (compress("gzip", packed), b"gzip"),
        (b"[" + body + b"]", b""),
        (body.replace(b'"model": "sim-x-pro"', b'"model": ["sim-x-pro"]'), b""),
        (b"", b""),
    ):
        headers = [*JSON, *([(b"Content-Encoding", coding)] if coding else [])]
        answer = ask(ruled.port, "POST", path, sent, headers)
        assert answer.status == 400, (sent, coding)
        assert _last(ruled).ended["error_type"] == "model_not_named"
    assert len(simulator.requests) == count


@by_path
@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_hides_nothing(
    simulator: Simulator, ruled: Daemon, path: str, coding: str
) -> None:
    count = len(simulator.requests)
    body = _body(path, "sim-x-pro").decode()
    for text in (body, *(twice.decode() for twice in TWICE)):
        answer = ask(ruled.port, "POST", path, text.encode(coding), JSON)
        assert answer.status in {400, 404}
        assert _last(ruled).status == "failed"
    assert len(simulator.requests) == count


def test_packed_twice_is_judged_too(simulator: Simulator, ruled: Daemon) -> None:
    count = len(simulator.requests)
    body = compress("br", compress("gzip", _body(PATHS[0], "sim-x-pro")))
    headers = [*JSON, (b"Content-Encoding", b"gzip, br")]
    assert ask(ruled.port, "POST", PATHS[0], body, headers).status in {400, 404}
    headers = [*JSON, (b"Content-Encoding", b"gzip"), (b"Content-Encoding", b"br")]
    assert ask(ruled.port, "POST", PATHS[0], body, headers).status in {400, 404}
    assert len(simulator.requests) == count


@pytest.mark.parametrize("operation", ["invoke", "converse", "converse-stream"])
@pytest.mark.parametrize("written", ["anthropic.sim-x-pro", "anthropic%2Esim%2Dx%2Dpro", "o3"])
def test_bedrock_s_paths_are_judged(
    simulator: Simulator, ruled: Daemon, operation: str, written: str
) -> None:
    count = len(simulator.requests)
    body = b'{"messages":[],"model":"anthropic.sim-text"}'
    answer = ask(ruled.port, "POST", f"/aws/model/{written}/{operation}", body, JSON)
    assert answer.status == 404
    assert answer.values("x-amzn-errortype") == ["ResourceNotFoundException"]
    assert len(simulator.requests) == count


def test_rules_and_bedrock_s_own_choice(simulator: Simulator, ruled: Daemon) -> None:
    """The alias first, then the rules, then what Bedrock calls the model."""
    path = "/aws/v1/messages"
    assert ask(ruled.port, "POST", path, _body(path, "fast"), JSON).status == 200
    assert simulator.requests[-1].path == "/model/anthropic.sim-words-7/invoke"
    start = _last(ruled).start
    assert (start["model"], start["requested_model"]) == ("anthropic.sim-words-7", "fast")
    assert ask(ruled.port, "POST", path, _body(path, "claude-x"), JSON).status == 200
    start = _last(ruled).start
    assert (start["requested_model"], start["model_rule"]) == ("claude-x", "bedrock model")
    answer = ask(ruled.port, "POST", path, _body(path, "gpt-5"), JSON)
    assert answer.status == 404
    assert _error(answer)["type"] == "not_found_error"


@pytest.mark.parametrize("prefix", ["", "/api/v2/aibridge", "/api/v2/ai-gateway"])
def test_a_provider_that_is_switched_off(
    simulator: Simulator, ruled: Daemon, model: Model, prefix: str
) -> None:
    count = len(simulator.requests)
    for method, path in (("POST", "/off/v1/chat/completions"), ("GET", "/off/v1/models")):
        body = _body(path, model("text")) if method == "POST" else None
        answer = ask(ruled.port, method, prefix + path, body, JSON)
        assert answer.status == 403
        assert "switched off" in _error(answer)["message"]
    assert len(simulator.requests) == count


def test_disabled_by_a_variable(start_daemon: StartDaemon, simulator: Simulator) -> None:
    variables = {
        "CODER_AI_GATEWAY_PROVIDER_0_TYPE": "openai",
        "CODER_AI_GATEWAY_PROVIDER_0_BASE_URL": simulator.openai_url,
        "CODER_AI_GATEWAY_PROVIDER_0_ENABLED": "false",
    }
    daemon = start_daemon(urls=False, environment=variables)
    assert ask(daemon.port, "GET", "/openai/v1/models").status == 403
