from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aigw.store import interceptions
from tests.store.rows import DAY, NOON, Store

if TYPE_CHECKING:
    from tests.cli.reading import Command

LIST = ("interceptions", "list")


def test_newest_first_with_their_records(store: Store, command: Command) -> None:
    first, second = store.whole(NOON), store.whole(NOON + 1)
    found = command.json(*LIST)
    assert [item["id"] for item in found] == [second, first]
    assert [len(found[0][name]) for name in ("token_usages", "user_prompts", "tool_usages")] == [
        1,
        1,
        1,
    ]


def test_paging(store: Store, command: Command) -> None:
    ids = [store.whole(NOON + n) for n in range(5)][::-1]
    assert [i["id"] for i in command.json(*LIST, "--limit", "2")] == ids[:2]
    assert [i["id"] for i in command.json(*LIST, "--limit", "2", "--after-id", ids[1])] == ids[2:4]


def test_long_texts_are_cut_and_it_says_so(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.whole(prompt="x" * 2000)
    command.json(*LIST)
    monkeypatch.setattr(interceptions, "ROOM", 1000)
    assert command.run(*LIST) == 0
    (found,) = json.loads(command.out)
    assert 900 < len(found["user_prompts"][0]["prompt"]) < 1000
    assert command.err.startswith("Texts are cut to 9")


def test_filters(store: Store, command: Command) -> None:
    store.whole(NOON)
    key = store.whole(
        NOON + DAY, model="GPT-5", provider="openai", client="Codex", initiator_id="bob"
    )
    words = (
        "--initiator", "Bob", "--provider", "OpenAI", "--model", "gpt-5", "--client", "codex",
        "--started-after", "2026-01-02T00:00:00Z", "--started-before", "2026-01-03T00:00:00Z",
    )  # fmt: skip
    assert [i["id"] for i in command.json(*LIST, *words)] == [key]
    named = store.whole(NOON + 2 * DAY, provider="openai", provider_name="Mine")
    assert [i["id"] for i in command.json(*LIST, "--provider-name", "mine")] == [named]
    assert command.json(*LIST, "--provider-name", "openai") == []
    assert [i["id"] for i in command.json(*LIST, "--provider", "openai")] == [named, key]
    assert len(command.json(*LIST, "--initiator", "me")) == 3
    assert command.json(*LIST, "--model", "gpt*") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--limit", "0"), "1 to 1000"),
        (("--limit", "1001"), "1 to 1000"),
        (("--started-after", "x"), "--started-after"),
        (("--started-after", "2026-01-02", "--started-before", "2026-01-01"), "must be after"),
    ],
)
def test_wrong_usage(command: Command, words: tuple[str, ...], message: str) -> None:
    assert command.run(*LIST, *words) == 2
    assert message in command.err
