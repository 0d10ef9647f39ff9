from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from aigw.api.routes import respond
from tests.store.rows import DAY, NOON, Store, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


async def get(store: Store, name: str, **params: str) -> tuple[int, Any]:
    answer = await respond(f"/api/v2/aibridge/{name}", params, store.path)
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


async def test_other_paths_and_the_alias(store: Store) -> None:
    for path in (
        "/api/v2/aibridge/openai/v1/models",
        "/api/v2/aibridge/",
        "/interceptions",
        "/api/v2/aibridge/interceptions/x",
    ):
        assert await respond(path, {}, store.path) is None
    answer = await respond("/api/v2/ai-gateway/interceptions", {}, store.path)
    assert answer is not None
    assert answer[0] == 200


async def test_broken_store_is_500(store: Store) -> None:
    store.connection.execute("PRAGMA user_version = 99")
    status, body = await get(store, "interceptions")
    assert status == 500
    assert body["message"] == "Internal error getting AI Bridge interceptions."
    assert "newer aigw" in body["detail"]


def test_missing_store_is_500(tmp_path: Path) -> None:
    answer = asyncio.run(respond("/api/v2/aibridge/models", {}, tmp_path / "none.db"))
    assert answer is not None
    assert answer[0] == 500
    assert list(tmp_path.iterdir()) == []
