from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from aigw.api.routes import is_read_api, respond
from aigw.store import interceptions
from tests.store.rows import DAY, NOON, Store, end, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


async def get(
    store: Store, name: str, *, initiator: str | None = None, me: str | None = None, **params: str
) -> tuple[int, Any]:
    path = f"/api/v2/aibridge/{name}"
    answer = await respond(path, params, store.path, initiator=initiator, me=me)
    assert answer is not None
    return answer[0], json.loads(answer[1])


async def ids(store: Store, **params: str) -> list[str]:
    status, body = await get(store, "interceptions", **params)
    assert status == 200
    return [item["id"] for item in body["results"]]


async def test_one_interception_in_full(store: Store) -> None:
    key = store.whole()
    status, body = await get(store, "interceptions")
    assert status == 200
    assert body["count"] == 1
    found = body["results"][0]
    assert found["id"] == key
    assert found["initiator"] == {
        "id": "local", "username": "local", "name": "local", "avatar_url": "",
    }  # fmt: skip
    assert found["provider"] == "anthropic"
    assert found["metadata"] == {"request_user_agent": "claude-cli/2", "n": [1, None, "\u00e9"]}
    assert found["started_at"] == "2026-01-01T12:00:00.000000Z"
    assert found["ended_at"] == "2026-01-01T12:00:01.000000Z"
    assert found["token_usages"] == [
        {
            "id": "k",
            "interception_id": key,
            "provider_response_id": "msg_1",
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_read_input_tokens": 30,
            "cache_write_input_tokens": 40,
            "cost_micros": None,
            "cost_basis": "unpriced",
            "price_source": "",
            "metadata": {"completion_reasoning": 5},
            "created_at": "2026-01-01T12:00:00.000000Z",
        }
    ]
    assert found["user_prompts"][0]["prompt"] == "hello"
    assert found["tool_usages"][0]["injected"] is True
    assert found["tool_usages"][0]["input"] == '{"command":"ls"}'
    assert found["tool_results"][0]["is_error"] is True
    assert found["model_thoughts"][0]["content"] == "let me think"


async def test_running_one_without_client(store: Store) -> None:
    store.start(client="")
    _, body = await get(store, "interceptions")
    assert body["results"][0]["ended_at"] is None
    assert body["results"][0]["client"] is None
    assert body["results"][0]["token_usages"] == []


async def test_pages_by_cursor_and_by_offset(store: Store) -> None:
    # Three started in the same microsecond: the id decides.
    keys = [store.whole(NOON + n // 3) for n in range(9)][::-1]
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while page := await ids(store, limit="2", **cursor):
        paged += page
        cursor = {"after_id": page[-1]}
    assert paged == keys
    assert await ids(store, limit="4", offset="3") == keys[3:7]
    _, body = await get(store, "interceptions", limit="2", after_id=keys[3])
    assert body["count"] == 9
    assert await ids(store, after_id="00000000-0000-0000-0000-000000000001") == []


async def test_search_ignores_case(store: Store) -> None:
    key = store.whole(
        NOON + DAY, model="GPT-5", client="Codex CLI", provider="openai", provider_name="Mine"
    )
    store.whole(NOON)
    for query in (
        "model:gpt-5",
        'client:"codex cli"',
        "provider:OpenAI",
        "provider_name:mine",
        'initiator:LOCAL started_after:"2026-01-02T00:00:00Z"',
    ):
        assert await ids(store, q=query) == [key]
    assert await ids(store, q="model:gpt_5") == []
    assert await ids(store, q="model:gpt*") == []
    assert len(await ids(store, q="initiator:me")) == 2


async def test_times_are_inclusive(store: Store) -> None:
    key = store.whole(NOON)
    at = '"2026-01-01T12:00:00Z"'
    assert await ids(store, q=f"started_after:{at}") == [key]
    assert await ids(store, q=f"started_before:{at}") == [key]


async def test_unknown_initiator(store: Store) -> None:
    status, body = await get(store, "interceptions", q="initiator:bob")
    assert status == 400
    text = 'user "bob" either does not exist, or you are unauthorized to view them'
    assert body["validations"] == [{"field": "initiator", "detail": text}]


async def test_errors_are_400(store: Store) -> None:
    assert (await get(store, "interceptions", limit="0"))[0] == 400
    assert (await get(store, "models", limit="0"))[0] == 400
    assert (await get(store, "models", q="a:b:c"))[0] == 400


async def test_names(store: Store) -> None:
    for model in ("gpt-5", "gpt-4", "claude", ""):
        store.whole(model=model)
    assert await get(store, "models") == (200, ["claude", "gpt-4", "gpt-5"])
    assert await get(store, "models", q="GPT", limit="1") == (200, ["gpt-4"])
    assert await get(store, "models", q="g%") == (200, [])
    assert await get(store, "clients") == (200, ["Claude Code"])
    assert await get(store, "providers") == (200, ["anthropic"])


async def test_a_caller_sees_their_own_only(store: Store) -> None:
    own = [store.whole(NOON + n, initiator_id="Ann", model="m-ann") for n in range(2)][::-1]
    other = store.whole(NOON + 9, initiator_id="ann", model="m-other", client="Codex")
    status, body = await get(store, "interceptions", initiator="Ann")
    assert (status, body["count"]) == (200, 2)
    assert [item["id"] for item in body["results"]] == own
    for query in ("initiator:me", "initiator:ann", "model:m-ann"):
        _, body = await get(store, "interceptions", initiator="Ann", q=query)
        assert [item["id"] for item in body["results"]] == own
    _, body = await get(store, "interceptions", initiator="Ann", q="model:m-other")
    assert body == {"count": 0, "results": [], "texts_cut_at": None}
    # Another's id is no place to go on from, nor does it tell when that was.
    _, body = await get(store, "interceptions", initiator="Ann", after_id=other)
    assert body == {"count": 2, "results": [], "texts_cut_at": None}
    assert await get(store, "models", initiator="Ann") == (200, ["m-ann"])
    assert await get(store, "clients", initiator="Ann") == (200, ["Claude Code"])
    assert await get(store, "providers", initiator="nobody") == (200, [])


async def test_whether_another_user_exists_is_not_told(store: Store) -> None:
    store.whole(initiator_id="bob")
    answers = [
        await get(store, "interceptions", initiator="ann", q=f"initiator:{name}")
        for name in ("bob", "nobody")
    ]
    assert [status for status, _ in answers] == [400, 400]
    assert str(answers[0][1]).replace("bob", "nobody") == str(answers[1][1])
    # One's own name is none of those, even before the first record.
    status, body = await get(store, "interceptions", initiator="ann", q="initiator:Ann")
    assert (status, body["count"]) == (200, 0)


async def test_an_admin_sees_all_and_is_somebody(store: Store) -> None:
    own, other = store.whole(NOON, initiator_id="Ann"), store.whole(NOON + 1, initiator_id="bob")
    _, body = await get(store, "interceptions", me="Ann")
    assert [item["id"] for item in body["results"]] == [other, own]
    _, body = await get(store, "interceptions", me="Ann", q="initiator:me")
    assert [item["id"] for item in body["results"]] == [own]
    _, body = await get(store, "interceptions", me="nobody-yet", q="initiator:me")
    assert body["count"] == 0


async def test_how_it_was_served(store: Store) -> None:
    key = store.start(requested_model="haiku", model_rule="bedrock_small_fast_model")
    _, body = await get(store, "interceptions")
    found = body["results"][0]
    assert found["requested_model"] == "haiku"
    assert found["model_rule"] == "bedrock_small_fast_model"
    assert (found["attempts"], found["served_hint"]) == (None, None)
    store.write(end(key, NOON + 1, attempts=2, served_hint="sk-b...2222"))
    _, body = await get(store, "interceptions")
    found = body["results"][0]
    assert (found["attempts"], found["served_hint"]) == (2, "sk-b...2222")


async def test_other_paths_and_the_alias(store: Store) -> None:
    for path in (
        "/api/v2/aibridge/openai/v1/models",
        "/api/v2/aibridge/",
        "/interceptions",
        "/api/v2/aibridge/interceptions/x",
    ):
        assert await respond(path, {}, store.path, initiator=None) is None
        assert not is_read_api(path)
    assert is_read_api("/api/v2/ai-gateway/models")
    answer = await respond("/api/v2/ai-gateway/interceptions", {}, store.path, initiator=None)
    assert answer is not None
    assert answer[0] == 200


async def test_broken_store_is_500(store: Store) -> None:
    store.connection.execute("PRAGMA user_version = 99")
    status, body = await get(store, "interceptions")
    assert status == 500
    assert body["message"] == "Internal error getting AI Bridge interceptions."
    assert "newer aigw" in body["detail"]


def test_missing_store_is_500(tmp_path: Path) -> None:
    answer = asyncio.run(
        respond("/api/v2/aibridge/models", {}, tmp_path / "none.db", initiator=None)
    )
    assert answer is not None
    assert answer[0] == 500
    assert list(tmp_path.iterdir()) == []


async def test_a_page_of_long_texts_is_cut_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's prompts of megabytes, a thousand on a page, must not take the daemon's memory."""
    for letter in "ab":
        store.whole(prompt=letter * 2000)
    status, body = await get(store, "interceptions")
    assert (status, body["texts_cut_at"]) == (200, None)
    monkeypatch.setattr(interceptions, "ROOM", 2000)
    _, body = await get(store, "interceptions")
    assert 900 < body["texts_cut_at"] < 1000
    for item in body["results"]:
        assert len(item["user_prompts"][0]["prompt"]) == body["texts_cut_at"]
        assert item["tool_usages"][0]["input"] == '{"command":"ls"}'
    _, body = await get(store, "interceptions", limit="1")
    assert len(body["results"][0]["user_prompts"][0]["prompt"]) > 1900
