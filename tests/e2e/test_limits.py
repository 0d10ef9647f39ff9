"""How many requests are served at a time and a second, and what the others are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.asking import CHAT, JSON_HEADERS, MESSAGES, Api, check_error, held_stream
from tests.e2e.control import METRICS, chat, keys_command, metric, new_key, status_of
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import Answer, Connection, ask
from tests.simulator import Gate, Script

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Simulator

Model = Callable[[str], str]


class Limited:
    """A daemon whose limits a test changes."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.config = folder / "config.toml"
        self.configure()
        urls = (simulator.openai_url, simulator.anthropic_url)
        self.daemon = Daemon(folder, *urls, "--config", str(self.config), *METRICS)

    def configure(self, **limits: int) -> None:
        lines = (f"{name} = {value}" for name, value in limits.items())
        self.config.write_text("\n".join(["[aibridge]", *lines]))

    def reload(self, **limits: int) -> None:
        """Put limits in force."""
        self.configure(**limits)
        done = run_aigw(self.daemon.folder, "reload", "--db", str(self.daemon.database))
        assert done.returncode == 0, done.stderr
        expected = {"max_concurrency": 0, "rate_limit": 0} | limits
        assert status_of(self.daemon)["limits"] == expected


@pytest.fixture(scope="module")
def limited(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    made = Limited(tmp_path_factory.mktemp("limited"), simulator)
    with made.daemon:
        yield made


def at_once(daemon: Daemon, count: int, model: Model, api: Api = CHAT) -> list[Answer]:
    """Ask as often on as many connections, all sent before any answer is read."""
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(daemon.port)) for _ in range(count)]
        for connection in connections:
            connection.send("POST", api.path, api.body(model("text")), JSON_HEADERS)
        return [connection.receive() for connection in connections]


def test_concurrency(limited: Limited, simulator: Simulator, model: Model) -> None:
    limited.reload(max_concurrency=2)
    daemon = limited.daemon
    refused = metric(daemon, "limit_rejections_total", limit="concurrency")
    name = model("words-20")
    gate = held_stream(simulator, CHAT, name)
    model_name = model("models").encode()
    listing = Gate()
    simulator.script(Script(hold={-1: listing}, body=b"{}"), match=model_name)
    with Connection(daemon.port) as recorded, Connection(daemon.port) as passed:
        recorded.send("POST", CHAT.path, CHAT.body(name, stream=True), JSON_HEADERS)
        # What is passed through counts as well.
        passed.send("GET", f"/openai/v1/models/{model_name.decode()}")
        begun = recorded.receive_head()
        assert gate.reached.wait(30)
        assert listing.reached.wait(30)
        for api in (CHAT, MESSAGES):
            answer = ask(daemon.port, "POST", api.path, api.body(model("text")), JSON_HEADERS)
            assert "currently at capacity" in check_error(answer, api.provider, 503)
            assert answer.values("retry-after") == ["1"]
        assert ask(daemon.port, "GET", "/openai/v1/models").status == 503
        check_exempt(daemon)
        # A higher limit lets the next one in while those two still run.
        limited.reload(max_concurrency=3)
        assert chat(daemon, "openai", CHAT, model("text")).status == 200
        limited.reload(max_concurrency=1)
        assert chat(daemon, "openai", CHAT, model("text")).status == 503
        gate.release()
        listing.release()
        assert recorded.receive_body(begun).complete
        assert passed.receive().status == 200
    until(lambda: chat(daemon, "openai", CHAT, "m").status == 200, what="a free place")
    assert metric(daemon, "limit_rejections_total", limit="concurrency") >= refused + 4
    assert status_of(daemon)["in_flight"] == 0


def check_exempt(daemon: Daemon) -> None:
    """What asks whether the daemon is there is answered whatever the limits."""
    for _ in range(5):
        assert ask(daemon.port, "HEAD", "/").status == 200
        assert ask(daemon.port, "HEAD", "/anthropic").status == 200
        assert ask(daemon.port, "GET", "/healthz").status == 200
        assert ask(daemon.port, "GET", "/api/v2/aibridge/interceptions?limit=1").status == 200


def test_places_come_back_however_requests_end(
    limited: Limited, simulator: Simulator, model: Model
) -> None:
    limited.reload(max_concurrency=1)
    daemon = limited.daemon
    for features in ("error-401", "error-529", "cut", "reset"):
        chat(daemon, "openai", CHAT, model(features))
    ask(daemon.port, "POST", CHAT.path, b"no json", JSON_HEADERS)
    ask(daemon.port, "GET", CHAT.path)
    name = model("words-20")
    gate = held_stream(simulator, CHAT, name)
    with Connection(daemon.port) as connection:
        connection.send("POST", CHAT.path, CHAT.body(name, stream=True), JSON_HEADERS)
        connection.receive_head()
        assert gate.reached.wait(30)
    until(lambda: chat(daemon, "openai", CHAT, model("text")).status == 200, what="a free place")
    gate.release()


def test_a_rate_for_each_address(limited: Limited, simulator: Simulator, model: Model) -> None:
    limited.reload(rate_limit=3)
    daemon = limited.daemon
    refused = metric(daemon, "limit_rejections_total", limit="rate")
    # Three at once, and a token more for each third of a second that it takes; then there are none
    # left for another provider either.
    for api, most in ((CHAT, 3), (MESSAGES, 6)):
        answers = at_once(daemon, 6, model, api)
        limits = [answer for answer in answers if answer.status == 429]
        assert 1 <= len(limits) <= most
        for answer in limits:
            assert "rate limited" in check_error(answer, api.provider, 429)
            assert answer.values("retry-after") == ["1"]
    sent = len(simulator.requests)
    statuses = [ask(daemon.port, "GET", "/openai/v1/models").status for _ in range(5)]
    assert 429 in statuses
    assert len(simulator.requests) == sent + statuses.count(200)
    check_exempt(daemon)
    assert metric(daemon, "limit_rejections_total", limit="rate") >= refused + 3
    limited.reload()
    assert {answer.status for answer in at_once(daemon, 12, model)} == {200}


def test_a_rate_for_each_key(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(
        *("--aibridge-rate-limit", "2", *METRICS),
        environment={"CODER_AIBRIDGE_OPENAI_KEY": "sk-central-0123456789"},
    )
    first, second = (new_key(daemon.database, name)[0] for name in ("first", "second"))
    quick = keys_command(daemon, "create", "quick", "--rate-limit", "1000")
    # Keys of one address do not share their rate, nor does who has none spend anybody's.
    for _ in range(5):
        assert chat(daemon, "openai", CHAT, model("text"), "aigw_nobody").status == 401
    statuses: dict[str, list[int]] = {first: [], second: [], quick: []}

    def run(token: str) -> None:
        for _ in range(6):
            statuses[token].append(chat(daemon, "openai", CHAT, model("text"), token).status)

    threads = [threading.Thread(target=run, args=(token,)) for token in statuses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses[quick] == [200] * 6
    for token in (first, second):
        assert statuses[token][:2] == [200, 200]
        assert 429 in statuses[token]
    assert metric(daemon, "limit_rejections_total", limit="rate") >= 2
