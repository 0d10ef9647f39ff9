"""The daemon prices what it records, from the first answer, and goes by new prices at once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aigw.pricing.pricer import CHECK_SECONDS
from tests.e2e.asking import CHAT, JSON_HEADERS, MESSAGES, post
from tests.e2e.daemon import Daemon, run_aigw
from tests.e2e.polling import until
from tests.simulator import Script, Simulator

if TYPE_CHECKING:
    from pathlib import Path

OPENAI_USAGE = {
    "prompt_tokens": 100_000,
    "completion_tokens": 2000,
    "total_tokens": 102_000,
    "prompt_tokens_details": {"cached_tokens": 90_000},
    "completion_tokens_details": {"reasoning_tokens": 1500},
}
ANTHROPIC_USAGE = {
    "input_tokens": 12_000,
    "output_tokens": 3000,
    "cache_read_input_tokens": 100_000,
    "cache_creation_input_tokens": 8000,
    "cache_creation": {"ephemeral_5m_input_tokens": 5000, "ephemeral_1h_input_tokens": 3000},
}


def answering(simulator: Simulator, model: str, body: dict[str, Any]) -> None:
    headers = [(name.decode(), value.decode()) for name, value in JSON_HEADERS]
    simulator.script(Script(headers=headers, body=json.dumps(body).encode()), match=model.encode())


def chat(simulator: Simulator, daemon: Daemon, model: str) -> None:
    """One chat completion of a model, with the usage above."""
    message = {"role": "assistant", "content": "hi"}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": OPENAI_USAGE,
    }
    answering(simulator, model, body)
    assert post(daemon, CHAT, CHAT.body(model)).status == 200


def message(simulator: Simulator, daemon: Daemon, model: str) -> None:
    """One message of a model, with the usage above."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": ANTHROPIC_USAGE,
    }
    answering(simulator, model, body)
    assert post(daemon, MESSAGES, MESSAGES.body(model)).status == 200


def costs(daemon: Daemon, model: str) -> list[tuple[Any, ...]]:
    """What was recorded of a model's responses, in order, and the interceptions' own sums."""
    with closing(sqlite3.connect(daemon.database)) as connection:
        return connection.execute(
            "SELECT t.cost_micros, t.cost_basis, t.price_source, i.cost_micros, i.unpriced,"
            " i.context_window FROM token_usages AS t"
            " JOIN interceptions AS i ON i.seq = t.interception_seq WHERE i.model = ? ORDER BY t.seq",
            (model,),
        ).fetchall()


def test_the_first_answer_has_its_cost(simulator: Simulator, tmp_path: Path) -> None:
    with Daemon(tmp_path, simulator.openai_url, simulator.anthropic_url) as daemon:
        chat(simulator, daemon, "gpt-5-codex")
        message(simulator, daemon, "claude-sonnet-4-5-20250929")
        chat(simulator, daemon, "nobodys-model")
        (codex,) = costs(daemon, "gpt-5-codex")
        (sonnet,) = costs(daemon, "claude-sonnet-4-5-20250929")
        (unknown,) = costs(daemon, "nobodys-model")
    assert codex[:2] == (12_500 + 11_250 + 20_000, "wire")
    assert codex[2].startswith("genai-prices ")
    assert codex[3:] == (43_750, 0, 400_000)
    assert sonnet[:2] == (147_750, "wire")
    assert sonnet[3:5] == (147_750, 0)
    assert unknown == (None, "unpriced", "", 0, 1, None)


def test_prices_that_are_set_or_reloaded_count_at_once(
    simulator: Simulator, tmp_path: Path
) -> None:
    model = "my-own-model"
    with Daemon(
        tmp_path, simulator.openai_url, simulator.anthropic_url, configuration="[aibridge]\n"
    ) as daemon:

        def aigw(*words: str) -> None:
            done = run_aigw(tmp_path, *words, "--db", str(daemon.database))
            assert done.returncode == 0, done.stderr

        def source() -> str:
            chat(simulator, daemon, model)
            found: str = costs(daemon, model)[-1][2]
            return found

        assert source() == ""
        aigw("prices", "set", "my-*", "--input", "1", "--output", "10", "--cache-read", "0.1")
        until(lambda: source() == "prices set", CHECK_SECONDS * 10)
        assert costs(daemon, model)[-1][0] == 10_000 + 9000 + 20_000
        config = tmp_path / "config.toml"
        config.write_text('[[prices]]\nmodel = "my-own-*"\ninput = 2_000_000\noutput = 0\n')
        aigw("reload")
        assert source() == "configuration"
        assert costs(daemon, model)[-1][0] == 200_000
        # What was recorded before keeps its cost.
        assert costs(daemon, model)[0][:2] == (None, "unpriced")
