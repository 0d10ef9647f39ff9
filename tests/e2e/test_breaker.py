"""The circuit breaker in a running daemon: it opens, says for how long, and closes again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import anthropic
import pytest

from tests.e2e.asking import CHAT, MESSAGES, Api, check_error
from tests.e2e.control import METRICS, chat, metric, providers_text, status_of
from tests.e2e.daemon import Daemon
from tests.e2e.polling import until
from tests.simulator import Script

if TYPE_CHECKING:
    from tests.simulator import Simulator

Model = Callable[[str], str]
THRESHOLD = 5
TRIALS = 2


def closed_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def guarded(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with circuit breakers that try again soon."""
    folder = tmp_path_factory.mktemp("guarded")
    gone = {"name": "gone", "type": "openai", "base_url": f"http://127.0.0.1:{closed_port()}/v1"}
    config = folder / "config.toml"
    config.write_text(providers_text([gone]))
    options = (
        *("--config", str(config), "--aibridge-circuit-breaker-enabled", *METRICS),
        *("--aibridge-circuit-breaker-timeout", "700ms"),
        *("--aibridge-circuit-breaker-max-requests", str(TRIALS)),
    )
    with Daemon(folder, simulator.openai_url, simulator.anthropic_url, *options) as daemon:
        yield daemon


def state(daemon: Daemon, name: str) -> float:
    return metric(daemon, "circuit_breaker_state", model=name)


def check_open(daemon: Daemon, provider: str, api: Api, name: str) -> None:
    """The next request is refused, and recorded, and goes nowhere."""
    answer = chat(daemon, provider, api, name)
    message = check_error(answer, api.provider, 503)
    assert message == "circuit breaker is open; try again in 1 s"
    assert answer.values("retry-after") == ["1"]
    refused = daemon.recorded(name)[-1]
    assert refused.status == "failed"
    assert refused.ended["error_type"] == "circuit_open"
    assert (refused.ended["status_code"], refused.ended["attempts"]) == (503, 0)
    assert [each["prompt"] for each in refused.prompts] == ["hello"]
    assert state(daemon, name) == 1
    assert metric(daemon, "circuit_breaker_trips_total", model=name) == 1
    assert metric(daemon, "circuit_breaker_rejects_total", model=name) >= 1
    (shown,) = [each for each in status_of(daemon)["breakers"] if each["model"] == name]
    assert (shown["provider"], shown["state"]) == (provider, "open")


@pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=["chat", "messages"])
@pytest.mark.parametrize("status", [503, 529])
def test_it_opens_and_closes(
    guarded: Daemon, simulator: Simulator, model: Model, api: Api, status: int
) -> None:
    name = model(f"error-{status}")
    for number in range(THRESHOLD):
        assert state(guarded, name) == 0, number
        assert chat(guarded, api.provider, api, name).status == status
    check_open(guarded, api.provider, api, name)
    # Another model of the same provider is not concerned.
    assert chat(guarded, api.provider, api, model("text")).status == 200
    # Trials that fail open it again, and nothing else gets through.
    until(lambda: len(simulator.matching(name.encode())) > THRESHOLD or _asked(guarded, api, name))
    assert len(simulator.matching(name.encode())) == THRESHOLD + 1
    assert metric(guarded, "circuit_breaker_trips_total", model=name) == 2
    assert chat(guarded, api.provider, api, name).values("retry-after") == ["1"]
    assert len(simulator.matching(name.encode())) == THRESHOLD + 1


def _asked(daemon: Daemon, api: Api, name: str) -> bool:
    chat(daemon, api.provider, api, name)
    return False


def test_it_closes_when_the_provider_is_back(
    guarded: Daemon, simulator: Simulator, model: Model
) -> None:
    name = model("text")
    busy = Script(status=503, reason="Busy", body=b"{}")
    simulator.script(*[busy] * THRESHOLD, match=name.encode())
    for _ in range(THRESHOLD):
        assert chat(guarded, "openai", CHAT, name).status == 503
    check_open(guarded, "openai", CHAT, name)
    until(lambda: chat(guarded, "openai", CHAT, name).status == 200, what="a trial")
    assert state(guarded, name) == 0.5
    for _ in range(TRIALS):
        assert chat(guarded, "openai", CHAT, name).status == 200
    assert state(guarded, name) == 0
    assert [each for each in status_of(guarded)["breakers"] if each["model"] == name] == []
    statuses = [each.status for each in guarded.recorded(name)]
    assert len(simulator.matching(name.encode())) == len(statuses) - sum(
        each.ended["error_type"] == "circuit_open" for each in guarded.recorded(name)
    )


def test_a_provider_that_is_not_there(guarded: Daemon, model: Model) -> None:
    name = model("text")
    for _ in range(THRESHOLD):
        assert chat(guarded, "gone", CHAT, name).status == 502
    check_open(guarded, "gone", CHAT, name)


@pytest.mark.parametrize("features", ["cut", "reset"])
def test_streams_that_break_off(guarded: Daemon, model: Model, features: str) -> None:
    name = model(features)
    for _ in range(THRESHOLD):
        answer = chat(guarded, "anthropic", MESSAGES, name, stream=True)
        assert (answer.status, answer.complete) == (200, False)
    check_open(guarded, "anthropic", MESSAGES, name)


@pytest.mark.parametrize("features", ["error-429", "error-500", "error-401", "error-400"])
def test_what_is_no_failure(
    guarded: Daemon, simulator: Simulator, model: Model, features: str
) -> None:
    name = model(features)
    for _ in range(THRESHOLD + 2):
        assert chat(guarded, "openai", CHAT, name).status == int(features[-3:])
    assert len(simulator.matching(name.encode())) == THRESHOLD + 2
    assert state(guarded, name) == 0


def test_what_an_sdk_sees(guarded: Daemon, model: Model) -> None:
    name = model("error-503")
    with anthropic.Anthropic(
        base_url=guarded.anthropic_url, api_key="k", max_retries=0, timeout=20
    ) as client:
        for number in range(THRESHOLD + 1):
            with pytest.raises(anthropic.APIStatusError) as raised:
                client.messages.create(
                    model=name, max_tokens=9, messages=[{"role": "user", "content": "hello"}]
                )
            assert ("circuit breaker is open" in str(raised.value)) is (number == THRESHOLD)
