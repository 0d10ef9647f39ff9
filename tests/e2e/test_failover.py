"""Pools of keys in a running daemon: no request is lost or sent twice while keys fail under load."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.asking import CHAT, check_error
from tests.e2e.control import METRICS, aigw_json, chat, metric, providers_text, status_of
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.simulator import Received, Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

CLIENTS = 16
REQUESTS = 400
LIMITED_AFTER = 60
"""Requests that a key serves before its rate limit."""

ONE = [f"sk-one-{name}-0123456789-{name}{name}" for name in "abc"]
TWO = [f"sk-two-{name}-0123456789-{name}{name}" for name in "def"]
LIMIT_BODY = (
    b'{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}'
)


def limit(retry_after: str = "60") -> Script:
    headers = [("Content-Type", "application/json"), ("X-Mine", "kept")]
    if retry_after:
        headers.append(("Retry-After", retry_after))
    return Script(status=429, reason="Too Many", headers=headers, body=LIMIT_BODY)


REFUSAL = Script(
    status=401,
    reason="Unauthorized",
    headers=[("Content-Type", "application/json")],
    body=b'{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}',
)


def uses(key: str) -> Callable[[Received], bool]:
    return lambda received: received.value("authorization") == f"Bearer {key}"


def key_of(received: Received) -> str:
    return (received.value("authorization") or "").removeprefix("Bearer ")


def hint(key: str) -> str:
    return f"{key[:4]}...{key[-4:]}"


def pools(folder: Path, simulator: Simulator, cooldown: str, **keys: list[str]) -> tuple[str, str]:
    """The options for providers of these names and keys."""
    folder.mkdir(exist_ok=True)
    config = folder / "pools.toml"
    common = {"type": "openai", "base_url": simulator.openai_url, "key_cooldown": cooldown}
    config.write_text(
        providers_text([{"name": name, "keys": each, **common} for name, each in keys.items()])
    )
    return "--config", str(config)


async def _load(daemon: Daemon, names: list[tuple[str, str]]) -> Counter[int]:
    """Ask for every (provider, tag) once, by so many clients; how often each status came."""
    statuses: Counter[int] = Counter()
    left = iter(names)

    async def client() -> None:
        for provider, tag in left:
            made = clients[provider]
            stream = hash(tag) % 2 == 0
            messages: Any = [{"role": "user", "content": f"tag {tag}."}]
            try:
                answer: Any = await made.chat.completions.create(
                    model="sim-words-5", messages=messages, stream=stream
                )
                if stream:
                    chunks = [chunk async for chunk in answer]
                    assert chunks[-1].choices[0].finish_reason == "stop"
                statuses[200] += 1
            except openai.APIStatusError as error:
                statuses[error.status_code] += 1

    clients = {
        name: openai.AsyncOpenAI(
            base_url=f"{daemon.address}/{name}/v1", api_key="k", max_retries=0, timeout=30
        )
        for name in dict(names)
    }
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    for made in clients.values():
        await made.close()
    return statuses


TAG = re.compile(rb"tag ([a-z0-9-]+)\.")


def tags(received: list[Received]) -> Counter[str]:
    found = (TAG.search(each.body) for each in received)
    return Counter(match[1].decode() for match in found if match)


async def test_two_pools_under_load(start_daemon: StartDaemon, tmp_path: Path) -> None:
    with Simulator() as simulator:
        options = pools(tmp_path / "pools", simulator, "60s", one=ONE, two=TWO)
        daemon = start_daemon(*options, *METRICS)
        simulator.always(limit(), match=uses(ONE[0]), after=LIMITED_AFTER)
        simulator.always(REFUSAL, match=uses(TWO[0]))
        simulator.always(limit(), match=uses(TWO[1]), after=LIMITED_AFTER)
        names = [("one" if n % 2 else "two", f"n{n}") for n in range(REQUESTS)]
        statuses = await _load(daemon, names)
        assert statuses == {200: REQUESTS}
        requests = simulator.requests
        served = [each for each in requests if each.status == 200]
        assert tags(served) == dict.fromkeys((tag for _, tag in names), 1)
        _check_records(daemon, requests)
        _check_shown(daemon, options)
        _check_counted(daemon, requests)


def _check_records(daemon: Daemon, requests: list[Received]) -> None:
    """Each record says how many keys it took, and which of them served."""
    tried: dict[str, list[str]] = {}
    for received in requests:
        (tag,) = tags([received])
        tried.setdefault(tag, []).append(key_of(received))
    recorded = {found.prompts[0]["prompt"]: found for found in daemon.interceptions()}
    assert len(recorded) == REQUESTS
    more = 0
    for tag, keys in tried.items():
        found = recorded[f"tag {tag}."]
        assert found.status == "completed", tag
        assert found.ended["attempts"] == len(keys), tag
        first = found.start["credential_hint"]
        if hint(keys[-1]) == first:
            assert found.ended["served_hint"] is None
        else:
            assert found.ended["served_hint"] == hint(keys[-1])
        assert len(set(keys)) == len(keys), f"{tag} was sent twice with one key"
        more += len(keys) > 1
    # Those that were on their way when a key failed; afterwards nobody tries it.
    assert 3 <= more <= 4 * CLIENTS


def _check_shown(daemon: Daemon, options: tuple[str, str]) -> None:
    listing = ("providers", "list", "--json", *options)
    expected = {
        "one": ["rate_limited", "available", "available"],
        "two": ["auth_failed", "rate_limited", "available"],
    }
    keys = {"one": ONE, "two": TWO}
    shown = {each["name"]: each for each in aigw_json(daemon, *listing)}
    live = {each["name"]: each for each in status_of(daemon)["providers"]}
    for name, states in expected.items():
        for rows in (shown[name]["key_states"], live[name]["keys"]):
            assert [row["state"] for row in rows] == states
            assert [row["hint"] for row in rows] == [hint(key) for key in keys[name]]
            assert all((row["seconds"] > 0) is (row["state"] != "available") for row in rows)
        assert live[name]["status"] == "enabled"


def _check_counted(daemon: Daemon, requests: list[Received]) -> None:
    def count(name: str, **labels: str) -> float:
        return metric(daemon, f"key_pool_{name}", **labels)

    assert count("state", provider="one", state="rate_limited") == 1
    assert count("state", provider="one", state="available") == 2
    assert count("state", provider="two", state="auth_failed") == 1
    assert count("state_transitions_total", provider="one", reason="rate_limited") == 1
    assert count("state_transitions_total", provider="two", reason="auth_failed") == 1
    assert count("state_transitions_total", provider="two", reason="rate_limited") == 1
    assert count("failover_attempts_count") == REQUESTS
    assert count("failover_attempts_sum") == len(requests)
    assert count("exhaustions_total") == 0


def test_no_key_is_left_and_one_comes_back(
    start_daemon: StartDaemon, tmp_path: Path, model: Model
) -> None:
    with Simulator() as simulator:
        daemon = start_daemon(*pools(tmp_path / "pools", simulator, "1s", one=ONE), *METRICS)
        for key in ONE:
            simulator.script(limit(""), match=uses(key))
        name = model("text")
        first = chat(daemon, "one", CHAT, name)
        assert (first.status, first.body) == (429, LIMIT_BODY)
        assert (first.reason, first.values("x-mine")) == ("Too Many", ["kept"])
        assert daemon.only(name).ended["attempts"] == 3
        refused = model("text")
        second = chat(daemon, "one", CHAT, refused)
        message = check_error(second, "openai", 429)
        assert message == "all configured keys are rate-limited (retry after 1 s)"
        assert second.values("retry-after") == ["1"]
        found = daemon.only(refused)
        assert (found.status, found.ended["error_type"]) == ("failed", "keys_rate_limited")
        assert (found.ended["attempts"], simulator.matching(refused.encode())) == (0, [])
        (live,) = [each for each in status_of(daemon)["providers"] if each["name"] == "one"]
        if live["status"] != "enabled":  # the command may take longer than the cool-down
            assert live["status"] == "keys_exhausted"
        assert metric(daemon, "key_pool_exhaustions_total", outcome="rate_limited") == 2
        until(lambda: chat(daemon, "one", CHAT, model("text")).status == 200, what="a rested key")
        (live,) = [each for each in status_of(daemon)["providers"] if each["name"] == "one"]
        assert {key["state"] for key in live["keys"]} == {"available"}


def test_keys_that_are_all_refused(start_daemon: StartDaemon, tmp_path: Path, model: Model) -> None:
    with Simulator() as simulator:
        options = pools(tmp_path / "pools", simulator, "60s", one=ONE[:2])
        daemon = start_daemon(*options)
        for key in ONE[:2]:
            simulator.script(REFUSAL, match=uses(key))
        assert chat(daemon, "one", CHAT, model("text")).body == REFUSAL.body
        message = check_error(chat(daemon, "one", CHAT, model("text")), "openai", 502)
        assert "failed authentication" in message
        assert "aigw reload" in message
        for key in ONE:
            assert key not in message + daemon.log
        # New keys in the file are used at once; what is known of the old ones stays known.
        pools(tmp_path / "pools", simulator, "60s", one=[*ONE[:2], ONE[2]])
        done = run_aigw(daemon.folder, "reload", "--db", str(daemon.database))
        assert done.returncode == 0, done.stderr
        name = model("text")
        assert chat(daemon, "one", CHAT, name).status == 200
        (received,) = simulator.matching(name.encode())
        assert key_of(received) == ONE[2]


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_what_may_have_been_carried_out_is_not_sent_again(
    start_daemon: StartDaemon, tmp_path: Path, model: Model, ending: Any
) -> None:
    with Simulator() as simulator:
        daemon = start_daemon(*pools(tmp_path / "pools", simulator, "60s", one=ONE))
        for script in (Script(ending=ending, cut=-1), Script(status=500), Script(status=503)):
            name = model("text")
            simulator.script(script, match=name.encode())
            assert chat(daemon, "one", CHAT, name).status in (500, 502, 503)
            assert len(simulator.matching(name.encode())) == 1
        (live,) = [each for each in status_of(daemon)["providers"] if each["name"] == "one"]
        assert {key["state"] for key in live["keys"]} == {"available"}
