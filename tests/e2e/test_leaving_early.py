"""Clients that leave before the answer begins, over real HTTP: what is recorded, shown and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.asking import APIS, CHAT, JSON_HEADERS, MESSAGES, Api, post
from tests.e2e.control import METRICS, metric
from tests.e2e.daemon import Daemon, fetch, run_aigw
from tests.e2e.polling import until
from tests.e2e.raw import Connection
from tests.simulator import Gate, Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

PROMPT = "Tell me of the sea, and of all that is in it. " * 40
LEAST_INPUT = len(PROMPT) // 8
MOST_INPUT = len(PROMPT) // 4


def hang_up(
    daemon: Daemon, simulator: Simulator, api: Api, name: str, leave: Callable[[], object] = int
) -> None:
    """Ask, and leave as soon as the provider has the request; `leave` may do it in another way."""
    gate = Gate()
    simulator.script(Script(hold={-1: gate}), match=name.encode())
    with Connection(daemon.port) as connection:
        connection.send("POST", api.path, api.body(name, prompt=PROMPT), JSON_HEADERS)
        assert gate.reached.wait(5)
        leave()
    gate.release()


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize("who", ["client", "gateway"])
def test_the_input_is_recorded(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, api: Api, who: str
) -> None:
    daemon = start_daemon("--shutdown-timeout", "100ms")
    name = model("text")
    hang_up(daemon, simulator, api, name, daemon.stop if who == "gateway" else int)
    found = daemon.when_ended(name)
    error = "gateway_stopped" if who == "gateway" else "client_disconnected"
    assert (found.status, found.ended["error_type"]) == ("aborted", error)
    (usage,) = found.token_usages
    assert LEAST_INPUT <= usage["input_tokens"] <= MOST_INPUT
    assert usage["output_tokens"] == 0


def shown(daemon: Daemon, *words: str) -> str:
    done = run_aigw(daemon.folder, *words, "--db", str(daemon.database))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_an_estimate_wherever_it_is_shown(
    simulator: Simulator, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*METRICS)
    name = "claude-sonnet-4-5"
    hang_up(daemon, simulator, MESSAGES, name)
    found = daemon.when_ended(name)
    (usage,) = found.token_usages
    cost = usage["cost_micros"]
    assert usage["cost_basis"] == "estimated"
    assert cost == 3 * usage["input_tokens"]
    until(lambda: metric(daemon, "tokens_total", type="input") == usage["input_tokens"], 5)
    (summed,) = json.loads(shown(daemon, "usage", "--json"))["groups"]
    assert (summed["estimated"], summed["unpriced"], summed["cost_micros"]) == (1, 0, cost)
    assert "~ estimated: 1 response" in shown(daemon, "usage")
    (session,) = (json.loads(line) for line in shown(daemon, "sessions", "--json").splitlines())
    assert (session["estimated"], session["cost_micros"]) == (1, cost)
    assert "1 token record estimated" in shown(daemon, "session", "last")
    exported = shown(daemon, "export").splitlines()
    (line,) = (each for each in map(json.loads, exported) if "cost_basis" in each)
    assert (line["cost_basis"], line["cost_micros"]) == ("estimated", cost)
    address = f"{daemon.address}/api/v2/aibridge/sessions"
    (listed,) = json.loads(fetch(address)[1])["sessions"]
    assert (listed["estimated"], listed["cost_micros"]) == (1, cost)
    row = shown(daemon, "sql", "--json", "SELECT estimated, cost_micros FROM v_interceptions")
    assert list(_first(row).values()) == [1, cost]


def _first(text: str) -> dict[str, Any]:
    found = json.loads(text)
    row: dict[str, Any] = found[0] if isinstance(found, list) else found
    return row


def test_a_loop_of_them_ends(simulator: Simulator, start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon()
    before = daemon.log.count("budgets have changed")
    shown(daemon, "budgets", "set", "everyone", "--tokens", str(3 * MOST_INPUT))
    until(lambda: daemon.log.count("budgets have changed") > before, 5, "the daemon's notice")
    served = 0
    while post(daemon, CHAT, CHAT.body(model("text"), prompt="hi")).status == 200:
        name = model("text")
        hang_up(daemon, simulator, CHAT, name)
        daemon.when_ended(name)
        served += 1
        assert served < 7
    assert served >= 2
