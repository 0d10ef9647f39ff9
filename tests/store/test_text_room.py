from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.store import text_room
from aigw.store.session_object import session_object
from aigw.store.session_tree import find_session, read_session
from aigw.store.text_room import fair_share
from tests.store.conversation import Conversation

if TYPE_CHECKING:
    import sqlite3

    from tests.store.rows import Store


@given(st.lists(st.integers(0, 100), max_size=12), st.integers(0, 400))
def test_only_the_longest_are_cut_and_no_more_than_needed(lengths: list[int], room: int) -> None:
    share = fair_share(lengths, room)
    if share is None:
        assert sum(lengths) <= room
        return
    assert sum(lengths) > room
    assert sum(min(length, share) for length in lengths) <= room
    assert sum(min(length, share + 1) for length in lengths) > room


def test_a_page_holds_no_more_text_than_there_is_room_for(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Conversation(store)
    talk.say("p" * 900, calls={"c": {"command": "i" * 900}}, thought="t" * 900)
    talk.say(results={"c": "r" * 900}, calls={"open": {}})
    talk.say("short")
    talk.say("the last", results={"open": "o" * 900})

    def read(limit: int = 50) -> dict[str, object]:
        found = read_session(reader, find_session(reader, "last").seq, limit=limit)
        answer: dict[str, object] = json.loads(json.dumps(session_object(found)))
        return answer

    whole = read()
    assert whole["texts_cut_at"] is None
    monkeypatch.setattr(text_room, "ROOM", 1000)
    cut = read()
    share = cut["texts_cut_at"]
    assert isinstance(share, int)
    assert 150 < share < 250
    text = json.dumps(cut["threads"])
    for letter in "pitro":
        assert letter * (share - 20) in text
        assert letter * (share + 1) not in text
    assert '"short"' in text
    assert text.count('"truncated": true') == 2
    # A result from another page counts for none of this one's, and is cut as they are.
    assert "o" * 251 not in json.dumps(read(limit=1)["threads"])
