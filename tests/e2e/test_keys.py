"""Gateway keys in a running daemon: who gets in, with what, how soon that changes, who sees what."""

from __future__ import annotations

import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import anthropic
import botocore.config
import botocore.exceptions
import botocore.session
import openai
import pytest

from aigw import clock
from aigw.store.key_changes import revoke_key, rotate_key
from tests.e2e.asking import CHAT, JSON_HEADERS, MESSAGES, check_error, held_stream
from tests.e2e.control import (
    METRICS,
    bearer,
    chat,
    credentials_seen,
    keys_command,
    metric,
    new_key,
    providers_text,
)
from tests.e2e.daemon import Daemon
from tests.e2e.polling import until
from tests.e2e.raw import Connection, Headers, ask
from tests.simulator.sigv4 import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Simulator

Model = Callable[[str], str]
HELP = "aigw keys create NAME"
OWN = "sk-own-canary-0123456789"
CLIENT: dict[str, Any] = {"max_retries": 0, "timeout": 20}
HELLO: Any = [{"role": "user", "content": "hello"}]


def _providers(simulator: Simulator) -> str:
    return providers_text(
        [
            {
                "name": "aws",
                "type": "bedrock",
                "bedrock_region": "us-east-1",
                "bedrock_base_url": simulator.url,
                "bedrock_access_key": ACCESS_KEY,
                "bedrock_access_key_secret": SECRET_KEY,
            },
            {
                "name": "shut",
                "type": "openai",
                "base_url": simulator.openai_url,
                "key": "sk-central-0123456789",
                "model_aliases": {"nick": "sim-text"},
                "allow_byok": False,
            },
            {
                "name": "mute",
                "type": "openai",
                "base_url": simulator.openai_url,
                "allow_byok": False,
            },
        ]
    )


@pytest.fixture(scope="module")
def team(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with central keys, and at least one gateway key."""
    folder = tmp_path_factory.mktemp("team")
    config = folder / "config.toml"
    config.write_text(_providers(simulator))
    urls = (simulator.openai_url, simulator.anthropic_url)
    environment = {
        "CODER_AIBRIDGE_OPENAI_KEY": "sk-central-0123456789",
        "CODER_AIBRIDGE_ANTHROPIC_KEY": "sk-central-0123456789",
    }
    options = ("--config", str(config), *METRICS)
    with Daemon(folder, *urls, *options, environment=environment) as daemon:
        new_key(daemon.database, "first")
        yield daemon


@pytest.fixture
def key(team: Daemon, model: Model) -> tuple[str, str]:
    """A key of the test's own: token and id."""
    return new_key(team.database, model("key"))


def ask_openai(daemon: Daemon, token: str, name: str, **more: Any) -> Any:
    with openai.OpenAI(base_url=daemon.openai_url, api_key=token, **CLIENT) as client:
        return client.chat.completions.create(model=name, messages=HELLO, **more)


def ask_anthropic(daemon: Daemon, name: str, **credentials: Any) -> Any:
    with anthropic.Anthropic(base_url=daemon.anthropic_url, **CLIENT, **credentials) as client:
        return client.messages.create(model=name, max_tokens=50, messages=HELLO)


def ask_bedrock(daemon: Daemon, name: str, token: str | None) -> Any:
    """With botocore, which signs with a key that AWS does not know: the gateway signs anew."""
    client = botocore.session.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"{daemon.address}/aws",
        aws_access_key_id="AKIACLIENT",
        aws_secret_access_key="client",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )

    def add_key(request: Any, **_: Any) -> None:
        if token:
            request.headers["X-Api-Key"] = token

    client.meta.events.register("before-sign.bedrock-runtime", add_key)
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50})
    return client.invoke_model(modelId=name, body=body)


def test_the_first_key_ends_open_mode(
    start_daemon: StartDaemon, simulator: Simulator, model: Model
) -> None:
    daemon = start_daemon()
    assert ask_openai(daemon, "sk-anything", model("text")).choices
    token = keys_command(daemon, "create", "laptop", "--user", "ada@example.com")
    with pytest.raises(openai.AuthenticationError, match=HELP):
        ask_openai(daemon, "sk-anything", model("text"))
    name = model("text")
    with pytest.raises(openai.PermissionDeniedError, match="has no key for the provider openai"):
        ask_openai(daemon, token, name)
    header = {"X-Coder-AI-Governance-Token": token}
    assert ask_openai(daemon, OWN, name, extra_headers=header).choices
    assert credentials_seen(simulator.wait_for(name.encode())) == {"authorization": f"Bearer {OWN}"}
    start = daemon.only(name).start
    assert start["initiator_id"] == "ada@example.com"
    assert (start["credential_kind"], start["credential_hint"]) == ("byok", "sk-o...6789")
    # Neither revoking nor deleting the only key opens the gateway again.
    keys_command(daemon, "revoke", "laptop")
    keys_command(daemon, "delete", "laptop")
    with pytest.raises(openai.AuthenticationError, match="is not known"):
        ask_openai(daemon, token, model("text"))
    with pytest.raises(openai.AuthenticationError, match=HELP):
        ask_openai(daemon, "sk-anything", model("text"))
    assert token.rpartition("_")[2] not in daemon.log


def test_sdks_without_a_key_are_told_what_to_do(team: Daemon, model: Model) -> None:
    for name in (model("text"), "sim-text"):
        with pytest.raises(openai.AuthenticationError, match=HELP) as refused:
            ask_openai(team, OWN, name)
        assert refused.value.code == "not_a_gateway_key"
        with pytest.raises(anthropic.AuthenticationError, match=HELP) as told:
            ask_anthropic(team, name, api_key=OWN)
        assert told.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
        for token in (OWN, None):
            with pytest.raises(botocore.exceptions.ClientError, match=HELP) as thrown:
                ask_bedrock(team, name, token)
            assert thrown.value.response["Error"]["Code"] == "UnrecognizedClientException"
            assert thrown.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    for api in (CHAT, MESSAGES):
        answer = ask(team.port, "POST", api.path, api.body("m"), JSON_HEADERS)
        assert HELP in check_error(answer, api.provider, 401)
        answer = ask(team.port, "POST", api.path, api.body("m"), [*JSON_HEADERS, *bearer("")])
        assert "none was sent" in check_error(answer, api.provider, 401)


def test_sdks_with_a_key(
    team: Daemon, simulator: Simulator, model: Model, key: tuple[str, str]
) -> None:
    token, _ = key
    assert ask_openai(team, token, model("text")).choices
    assert ask_anthropic(team, model("text"), api_key=token).content
    assert ask_anthropic(team, model("text"), auth_token=token).content
    name = model("text")
    assert ask_bedrock(team, f"anthropic.{name}", token)["body"].read()
    for header in (b"X-Api-Key", b"api-key"):
        headers = [*JSON_HEADERS, (header, token.encode())]
        answer = ask(team.port, "POST", CHAT.path, CHAT.body(model("text")), headers)
        assert answer.status == 200
    for received in simulator.requests:
        assert token.encode() not in received


@pytest.mark.parametrize("sent", ["authorization", "x-api-key"])
def test_bring_your_own_key(
    team: Daemon, simulator: Simulator, model: Model, key: tuple[str, str], sent: str
) -> None:
    token, key_id = key
    name = model("text")
    own = {sent: f"Bearer {OWN}" if sent == "authorization" else OWN}
    headers = {"X-Coder-AI-Governance-Token": token, **own}
    ask_anthropic(team, name, default_headers=headers)
    received = simulator.wait_for(name.encode())
    assert credentials_seen(received) == own
    assert token.encode() not in received
    start = team.only(name).start
    assert (start["credential_kind"], start["api_key_id"]) == ("byok", key_id)


def test_byok_switched_off(
    start_daemon: StartDaemon, model: Model, team: Daemon, key: tuple[str, str]
) -> None:
    daemon = start_daemon("--aibridge-allow-byok=false")
    token, _ = new_key(daemon.database, "laptop")
    text = (
        "Bring Your Own Key (BYOK) mode is not enabled. Contact your administrator to enable it "
        "with --aibridge-allow-byok."
    )
    for api in (CHAT, MESSAGES):
        headers: Headers = [(b"X-Coder-AI-Governance-Token", token.encode()), *bearer(OWN)]
        answer = ask(daemon.port, "POST", api.path, api.body(model("text")), headers)
        assert check_error(answer, api.provider, 403) == text
    # Where a provider says so of itself, with a central key at hand.
    headers = [(b"X-Coder-AI-Governance-Token", key[0].encode()), *bearer(OWN)]
    answer = ask(team.port, "POST", "/shut/v1/responses", b"{}", headers)
    assert check_error(answer, "openai", 403) == text


def test_a_provider_that_serves_nobody_s_key(
    team: Daemon, simulator: Simulator, model: Model, key: tuple[str, str]
) -> None:
    """Neither a key of the operator's nor of the client's own: the advice must not be to send one."""
    name = model("text")
    message = check_error(chat(team, "mute", CHAT, name, key[0]), "openai", 403)
    assert "no key for the provider mute" in message
    assert "send your own" not in message
    assert "--aibridge-allow-byok" in message
    assert simulator.matching(name.encode()) == []


def test_a_key_in_the_query_stays_here(
    team: Daemon, simulator: Simulator, model: Model, key: tuple[str, str]
) -> None:
    token, _ = key
    for path in (f"{CHAT.path}?a=%20b&key={token}&c", f"/openai/v1/models?key={token}&a=%20b&c"):
        name = model("text")
        method, body = ("POST", CHAT.body(name)) if path.startswith(CHAT.path) else ("GET", None)
        headers: Headers = [*JSON_HEADERS, (b"X-Mark", name.encode()), *bearer(token)]
        assert ask(team.port, method, path, body, headers).status == 200
        received = simulator.wait_for(name.encode())
        assert received.target.partition("?")[2] == "a=%20b&c"


def test_keys_that_do_not_work_any_more(team: Daemon, model: Model) -> None:
    expired, _ = new_key(team.database, model("old"), expires_at=clock.now() - 1)
    with pytest.raises(openai.AuthenticationError, match=r"expired on .*aigw keys rotate") as error:
        ask_openai(team, expired, model("text"))
    # Clients that fetch their keys then fetch a new one, and may try again with that.
    assert "x-should-retry" not in error.value.response.headers
    soon = model("soon")
    lasting, _ = new_key(team.database, soon, expires_at=clock.now() + 3_000_000)
    assert ask_openai(team, lasting, model("text")).choices
    until(lambda: chat(team, "openai", CHAT, "m", lasting).status == 401, what="its expiry")
    name = model("turned")
    before, key_id = new_key(team.database, name)
    assert ask_openai(team, before, model("text")).choices
    after = keys_command(team, "rotate", name)
    assert ask_openai(team, after, model("text")).choices
    with pytest.raises(openai.AuthenticationError, match="is not known") as error:
        ask_openai(team, before, model("text"))
    assert error.value.response.headers["x-should-retry"] == "false"
    assert after.startswith(f"aigw_{key_id}_")


def test_a_key_for_some_providers_and_models(
    team: Daemon, simulator: Simulator, model: Model
) -> None:
    token, _ = new_key(team.database, model("k"), providers=("openai",), models=("sim-text+u*",))
    assert ask_openai(team, token, model("text")).choices
    with pytest.raises(anthropic.PermissionDeniedError, match="may not use the provider anthropic"):
        ask_anthropic(team, model("text"), api_key=token)
    name = model("words-5")
    with pytest.raises(
        openai.PermissionDeniedError, match=f"may not use the model '{name}'".replace("+", ".")
    ):
        ask_openai(team, token, name)
    assert simulator.matching(name.encode()) == []
    refused = team.only(name)
    assert (refused.status, refused.ended["error_type"]) == ("failed", "model_not_allowed")
    # A second name in the same body does not slip past the rule, nor does a body without any.
    twice = b'{"model":"%s","model":"gpt","messages":[]}' % model("text").encode()
    answer = ask(team.port, "POST", CHAT.path, twice, bearer(token))
    assert "more than once" in check_error(answer, "openai", 400)
    answer = ask(team.port, "POST", CHAT.path, b"{}", bearer(token))
    assert "names no model" in check_error(answer, "openai", 403)
    # By an alias the key may use what it may ask for.
    token, _ = new_key(team.database, model("k"), providers=("shut",), models=("nick",))
    assert chat(team, "shut", CHAT, "nick", token).status == 200
    assert chat(team, "shut", CHAT, "sim-text", token).status == 403


def test_a_key_s_own_rate_limit(team: Daemon, model: Model) -> None:
    slow, _ = new_key(team.database, model("k"), rate_limit=2)
    quick, _ = new_key(team.database, model("k"))
    refused = metric(team, "limit_rejections_total", limit="key_rate")
    answers = [chat(team, "openai", CHAT, model("text"), slow) for _ in range(2)]
    # A busy machine may let half a second pass between two of them, which gives a token back.
    while answers[-1].status == 200 and len(answers) < 50:
        answers.append(chat(team, "openai", CHAT, model("text"), slow))
    assert {answer.status for answer in answers[:-1]} == {200}
    assert len(answers) > 2
    check_error(answers[-1], "openai", 429)
    assert answers[-1].values("retry-after") == ["1"]
    assert chat(team, "openai", CHAT, model("text"), quick).status == 200
    assert metric(team, "limit_rejections_total", limit="key_rate") == refused + 1
    until(lambda: chat(team, "openai", CHAT, "m", slow).status != 429, what="a new token")


def test_a_key_s_own_concurrency(team: Daemon, simulator: Simulator, model: Model) -> None:
    token, _ = new_key(team.database, model("k"), max_concurrency=1)
    other, _ = new_key(team.database, model("k"))
    name = model("words-20")
    gate = held_stream(simulator, CHAT, name)
    with Connection(team.port) as held:
        headers = JSON_HEADERS + bearer(token)
        held.send("POST", CHAT.path, CHAT.body(name, stream=True), headers)
        begun = held.receive_head()
        assert gate.reached.wait(30)
        refused = chat(team, "openai", CHAT, model("text"), token)
        assert "as many requests running" in check_error(refused, "openai", 503)
        assert refused.values("retry-after") == ["1"]
        assert chat(team, "openai", CHAT, model("text"), other).status == 200
        gate.release()
        assert held.receive_body(begun).complete
    until(lambda: chat(team, "openai", CHAT, "m", token).status != 503, what="its place back")
    assert metric(team, "limit_rejections_total", limit="key_concurrency") >= 1


class Clients:
    """Threads that ask with one key, each on a connection of its own, until told to stop.

    `last_served` is when the latest request that was served had been sent, `first_refused` when
    the first refusal had been received.
    """

    def __init__(self, daemon: Daemon, token: str, count: int) -> None:
        self.statuses: list[int] = []
        self.last_served = 0.0
        self.first_refused = math.inf
        self._daemon = daemon
        self._headers = JSON_HEADERS + bearer(token)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with Connection(self._daemon.port) as connection:
            while not self._over.is_set():
                sent = time.monotonic()
                connection.send("POST", CHAT.path, CHAT.body("sim-text"), self._headers)
                status = connection.receive().status
                self.statuses.append(status)
                if status == 200:
                    self.last_served = max(self.last_served, sent)
                else:
                    self.first_refused = min(self.first_refused, time.monotonic())


@pytest.mark.parametrize("end", ["revoke", "rotate"])
def test_a_key_that_ends_fails_within_a_second_under_load(
    team: Daemon, model: Model, end: str, record_property: Callable[[str, object], None]
) -> None:
    name = model("k")
    token, _ = new_key(team.database, name)
    with Clients(team, token, 4) as clients:
        until(lambda: len(clients.statuses) > 50, what="some load")
        if end == "revoke":
            revoke_key(team.database, name, clock.now())
        else:
            rotate_key(team.database, name, clock.now())
        ended = time.monotonic()
        until(lambda: clients.statuses[-20:] == [401] * 20, what="refusals")
    after = max(0.0, clients.last_served - ended)
    record_property("seconds", after)
    assert after < 1.0
    assert set(clients.statuses) == {200, 401}
    assert clients.last_served < clients.first_refused, "the key came back"


def works(daemon: Daemon, token: str) -> bool:
    return chat(daemon, "openai", CHAT, "sim-text", token).status == 200


def test_a_new_key_works_at_once_under_load(team: Daemon, model: Model) -> None:
    token, _ = new_key(team.database, model("k"))
    # While others send wrong keys, a new one may take as long as `REFUSED_CHECK_SECONDS`.
    until(lambda: works(team, token), what="the first key")
    with Clients(team, token, 2) as clients, ThreadPoolExecutor(4) as pool:
        # Others try wrong keys all the while.
        waits: list[float] = []
        wrong = [pool.submit(_guess, team) for _ in range(2)]
        for _ in range(20):
            fresh, _ = new_key(team.database, model("k"))
            began = time.monotonic()
            until(partial(works, team, fresh), what="a new key")
            waits.append(time.monotonic() - began)
        until(lambda: len(clients.statuses) > 20, what="some load")
        assert {each.result() for each in wrong} == {401}
    assert set(clients.statuses) == {200}
    # Not each one: the machine may be busy with other things for a moment.
    assert statistics.median(waits) < 0.5


def _guess(daemon: Daemon) -> int:
    statuses = {
        chat(daemon, "openai", CHAT, "sim-text", f"aigw_guess{number}_{'0' * 43}").status
        for number in range(100)
    }
    (status,) = statuses
    return status


def test_last_use_is_known_after_a_stop(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(environment={"CODER_AIBRIDGE_OPENAI_KEY": "sk-central-0123456789"})
    used, _ = new_key(daemon.database, "used")
    new_key(daemon.database, "idle")
    before = clock.now()
    assert chat(daemon, "openai", CHAT, model("text"), used).status == 200
    assert daemon.stop() == 0
    (first, second) = json.loads(keys_command(daemon, "list", "--json"))
    assert (first["name"], second["name"], second["last_used_at"]) == ("used", "idle", None)
    assert first["last_used_at"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before // 10**6))
    assert "secret" not in json.dumps([first, second])


def _rows(daemon: Daemon, headers: Headers, query: str = "limit=1000") -> dict[str, Any]:
    answer = ask(daemon.port, "GET", f"/api/v2/aibridge/interceptions?{query}", headers=headers)
    assert answer.status == 200, answer
    page: dict[str, Any] = json.loads(answer.body)
    return page


def test_who_reads_what(team: Daemon, model: Model) -> None:
    ada, _ = new_key(team.database, model("k"), user="ada@read.example")
    bob, _ = new_key(team.database, model("k"), user="bob@read.example")
    boss, _ = new_key(team.database, model("k"), user="boss@read.example", is_admin=True)
    names = {}
    for token in (ada, bob):
        names[token] = model("text")
        assert chat(team, "openai", CHAT, names[token], token).status == 200
    for token in (ada, bob):
        for headers in (
            bearer(token),
            [(b"X-Api-Key", token.encode())],
            [(b"Coder-Session-Token", token.encode())],
        ):
            page = _rows(team, headers)
            assert page["count"] == 1
            assert [row["model"] for row in page["results"]] == [names[token]]
    models = {row["model"] for row in _rows(team, bearer(boss))["results"]}
    assert set(names.values()) < models
    assert _rows(team, bearer(boss), "q=initiator:ada@read.example")["count"] == 1
    answer = ask(
        team.port,
        "GET",
        "/api/v2/aibridge/interceptions?q=initiator:bob@read.example",
        headers=bearer(ada),
    )
    assert answer.status == 400
    answer = ask(team.port, "GET", "/api/v2/aibridge/models", headers=bearer(ada))
    assert json.loads(answer.body) == [names[ada]]
    # Reading counts as use, but costs nobody's credential; without a key nothing is shown.
    for headers in ([], bearer(OWN), [(b"Coder-Session-Token", b"x")]):
        answer = ask(team.port, "GET", "/api/v2/aibridge/interceptions", headers=headers)
        assert answer.status == 401
        assert b"gateway key" in answer.body


def test_the_status_page_is_for_admins(team: Daemon, model: Model) -> None:
    user, _ = new_key(team.database, model("k"))
    boss, _ = new_key(team.database, model("k"), is_admin=True)
    path = "/api/v2/aibridge/status"
    for headers, status, text in (
        ([], 401, b"gateway key"),
        (bearer(OWN), 401, b"gateway key"),
        (bearer(user), 403, b"for admins"),
    ):
        answer = ask(team.port, "GET", path, headers=headers)
        assert answer.status == status
        assert text in answer.body
    assert ask(team.port, "GET", path, headers=bearer(boss)).status == 200
    for page in ("/healthz", "/readyz"):
        assert ask(team.port, "GET", page).status == 200
