from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.rows import NOON, Store, end, prompt, start

if TYPE_CHECKING:
    from tests.cli.reading import Command


def test_everything_is_there(store: Store, command: Command) -> None:
    key = store.whole(prompt="first line\nsecond line")
    text = "\n".join(command.lines("show", key[:30]))
    for part in (
        key, "completed 200", "Claude Code", "claude-opus-4-5", "anthropic /v1/messages",
        "byok sk-...abcd", "claude-cli/2", "  first line\n  second line", "no such file",
        "let me think", "thinking", "Bash", '{"command":"ls"}', "failed: boom",
        "completion_reasoning: 5", "cache_read_input: 30",
    ):  # fmt: skip
        assert part in text


def test_how_it_was_served(store: Store, command: Command) -> None:
    key = store.start(requested_model="haiku", model_rule="small model")
    store.write(end(key, NOON, attempts=2, served_hint="sk-b...2222"))
    lines = [" ".join(line.split()) for line in command.lines("show", key)]
    for line in (
        "requested model haiku", "model rule small model", "attempts 2", "served by sk-b...2222",
    ):  # fmt: skip
        assert line in lines
    # What is as usual is not worth a line.
    usual = "\n".join(command.lines("show", store.whole()))
    for word in ("requested", "rule", "attempts", "served"):
        assert word not in usual


def test_json(store: Store, command: Command) -> None:
    key = store.whole()
    found = command.json("show", key, "--json")
    assert found["id"] == key
    assert found["tool_results"][0]["content"] == "no such file"


def test_running_interception(store: Store, command: Command) -> None:
    key = store.start()
    assert any(text.split() == ["status", "running"] for text in command.lines("show", key))


def test_hostile_text(store: Store, command: Command) -> None:
    evil = "\x1b[2J\u202e"
    store.write(
        start("01", model=evil, metadata={evil: evil}),
        prompt("01", f"{evil}\n{evil}"),
        end("01", NOON, error_message=evil),
    )
    assert all(text.isprintable() for text in command.lines("show", "01"))


def test_unknown_and_ambiguous(store: Store, command: Command) -> None:
    store.write(start("01aa"), start("01ab"))
    assert command.run("show", "02") == 1
    assert "no interception '02'" in command.err
    assert command.run("show", "01") == 1
    assert "01aa, 01ab" in command.err
