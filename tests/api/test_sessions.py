"""`GET .../sessions` and `.../sessions/{id}`: fields, paging, errors, and who sees what."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.api.query import BadQuery, parse_session_query
from aigw.api.routes import respond
from aigw.api.sessions import ThreadQuery, parse_thread_query
from aigw.records import Status, ToolResult, ToolUsage
from aigw.store.rollup import roll_up
from aigw.store.sessions import SessionQuery
from tests.store.rows import NOON, SECOND, Store, children, end, new_store, start

if TYPE_CHECKING:
    from collections.abc import Iterator

AN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER_ID = "01890a5d-ac96-774b-bcce-b302099a8058"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


async def get(
    store: Store,
    path: str = "sessions",
    *,
    owner: str | None = None,
    me: str | None = None,
    prefix: str = "/api/v2/aibridge/",
    **params: str,
) -> tuple[int, Any]:
    answer = await respond(prefix + path, params, store.path, initiator=owner, me=me)
    assert answer is not None
    return answer[0], json.loads(answer[1])


async def one(store: Store, session_id: str, **more: Any) -> tuple[int, Any]:
    return await get(store, f"sessions/{quote(session_id, safe='')}", **more)


async def ids(store: Store, **more: Any) -> list[str]:
    status, body = await get(store, **more)
    assert status == 200, body
    return [session["id"] for session in body["sessions"]]


def loop(store: Store) -> list[str]:
    """A prompt, a call that its step makes, and the step that brings the result; another prompt."""
    first, second = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    own: dict[str, Any] = {"client_session_id": "s", "initiator_id": "ann", "agent_id": "main"}
    store.write(
        start(first, NOON, **own),
        *children(first, NOON, "list the files"),
        end(first, NOON + SECOND, cost_micros=5, unpriced=1),
    )
    store.write(
        start(second, NOON + 2 * SECOND, correlating_tool_call_id="call_1", plan="claude", **own),
        ToolResult(
            interception_id=second,
            created_at=NOON + 2 * SECOND,
            id="r2",
            tool_call_id="call_1",
            is_error=False,
            size=3,
            content="a b",
        ),
        ToolUsage(
            interception_id=second,
            created_at=NOON + 2 * SECOND,
            id="u2",
            msg_id="msg_2",
            tool_call_id="call_2",
            tool="Grep",
            input="{}",
        ),
        end(
            second,
            NOON + 3 * SECOND,
            cost_micros=7,
            status=Status.FAILED,
            error_type="overloaded",
            error_message="try later",
        ),
    )
    third = store.start(NOON + 4 * SECOND, client="", **own)
    while roll_up(store.connection):
        pass
    return [first, second, third]


async def test_a_session_of_the_list(store: Store) -> None:
    loop(store)
    status, body = await get(store)
    assert (status, body["count"]) == (200, 1)
    (found,) = body["sessions"]
    assert found["id"] == "s"
    assert found["initiator"] == {
        "id": "ann", "username": "ann", "name": "ann", "avatar_url": "",
    }  # fmt: skip
    assert (found["providers"], found["models"]) == (["anthropic"], ["claude-opus-4-5"])
    assert (found["client"], found["clients"]) == ("Claude Code", ["Claude Code"])
    assert found["metadata"]["request_user_agent"] == "claude-cli/2"
    assert found["started_at"] == "2026-01-01T12:00:00.000000Z"
    assert found["ended_at"] is None
    assert found["last_active_at"] == "2026-01-01T12:00:04.000000Z"
    assert found["threads"] == 2
    assert found["token_usage_summary"] == {
        "input_tokens": 20,
        "output_tokens": 40,
        "cache_read_input_tokens": 60,
        "cache_write_input_tokens": 80,
        "reasoning_tokens": 10,
    }
    assert (found["first_prompt"], found["last_prompt"]) == ("list the files", "list the files")
    assert (found["cost_micros"], found["plan_micros"], found["unpriced"]) == (5, 7, 1)
    assert (found["requests"], found["errors"], found["running"]) == (3, 1, 1)
    assert found["tools"] == {"Bash": 1, "Grep": 1}


async def test_a_session_with_its_threads(store: Store) -> None:
    first, second, third = loop(store)
    status, body = await one(store, "s")
    assert status == 200
    assert (body["id"], body["thread_count"], body["cost_micros"]) == ("s", 2, 5)
    assert body["page_started_at"] == "2026-01-01T12:00:00.000000Z"
    assert body["page_ended_at"] is None
    thread, running = body["threads"]
    assert (thread["id"], thread["prompt"]) == (first, "list the files")
    assert (thread["model"], thread["provider"]) == ("claude-opus-4-5", "anthropic")
    assert (thread["credential_kind"], thread["credential_hint"]) == ("byok", "sk-...abcd")
    assert thread["started_at"] == "2026-01-01T12:00:00.000000Z"
    assert thread["ended_at"] == "2026-01-01T12:00:03.000000Z"
    assert thread["token_usage"]["input_tokens"] == 20
    assert thread["token_usage"]["metadata"] == {"completion_reasoning": 5}
    assert (thread["error_type"], thread["error_message"]) == ("overloaded", "try later")
    assert (thread["agent_id"], thread["cost_micros"], thread["plan_micros"]) == ("main", 5, 7)
    calling, answering = thread["agentic_actions"]
    assert (calling["id"], calling["parent_id"]) == (first, None)
    assert (calling["status"], calling["model"]) == ("completed", "claude-opus-4-5")
    assert [thought["text"] for thought in calling["thinking"]] == ["let me think"]
    (call,) = calling["tool_calls"]
    assert call["interception_id"] == first
    assert call["provider_response_id"] == "msg_1"
    assert (call["id"], call["tool"], call["injected"]) == ("u", "Bash", True)
    assert (call["server_url"], call["input"]) == ("https://mcp.example", '{"command":"ls"}')
    assert (call["metadata"], call["created_at"]) == ({}, "2026-01-01T12:00:00.000000Z")
    assert (call["result"]["content"], call["result"]["is_error"]) == ("a b", False)
    assert call["result"]["interception_id"] == second
    assert (answering["id"], answering["parent_id"]) == (second, first)
    assert (answering["status"], answering["plan"]) == ("failed", "claude")
    assert answering["tool_calls"][0]["result"] is None
    assert (running["id"], running["ended_at"]) == (third, None)
    assert running["agentic_actions"][0]["status"] is None


async def test_every_field_is_documented(store: Store) -> None:
    loop(store)
    _, session = await one(store, "s")
    _, found = await get(store, "interceptions")
    thread = session["threads"][0]
    action = thread["agentic_actions"][0]
    call = action["tool_calls"][0]
    objects = (session, thread, action, call, call["result"], *action["thinking"])
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", page))
    for each in (*objects, found["results"][0]):
        assert each.keys() - documented == set()


async def test_both_prefixes(store: Store) -> None:
    loop(store)
    for path in ("sessions", "sessions/s"):
        newer = await get(store, path, prefix="/api/v2/ai-gateway/")
        assert newer == await get(store, path)
        assert newer[0] == 200


async def test_interceptions_say_where_they_stand_and_what_they_cost(store: Store) -> None:
    first, second, third = loop(store)
    _, body = await get(store, "interceptions")
    found = {item["id"]: item for item in body["results"]}
    assert {item["session_id"] for item in found.values()} == {"s"}
    assert [found[key]["thread_root_id"] for key in (first, second, third)] == [first, first, third]
    assert [found[key]["thread_parent_id"] for key in (first, second, third)] == [None, first, None]
    assert [found[key]["cost_micros"] for key in (first, second, third)] == [5, 7, None]
    assert [found[key]["unpriced"] for key in (first, second, third)] == [1, 0, None]
    assert (found[second]["plan"], found[second]["agent_id"]) == ("claude", "main")
    assert found[first]["token_usages"][0]["cost_basis"] == "unpriced"


async def test_interceptions_of_a_session_that_the_client_did_not_name(store: Store) -> None:
    key = store.whole(NOON, client_session_id=None)
    store.whole(NOON + 1, client_session_id="s")
    _, body = await get(store, "interceptions", q=f"session_id:{key}")
    assert [item["id"] for item in body["results"]] == [key]
    assert body["results"][0]["session_id"] == key
    assert (await one(store, key))[1]["threads"][0]["id"] == key


async def test_search(store: Store) -> None:
    store.whole(
        NOON + SECOND, client_session_id="S one", model="GPT-5", client="Codex CLI",
        provider="openai", provider_name="mine", initiator_id="Ann",
    )  # fmt: skip
    store.whole(NOON, client_session_id="other", initiator_id="bob")
    for query in (
        "initiator:ANN",
        "ann",
        "model:gpt-5",
        'client:"codex cli"',
        "provider:openai",
        "provider_name:Mine",
        'session_id:"s ONE"',
        'started_after:"2026-01-01T12:00:01Z"',
    ):
        assert await ids(store, q=query) == ["S one"], query
    assert await ids(store, q='started_before:"2026-01-01T12:00:00.999Z"') == ["other"]
    assert await ids(store, q="model:gpt*") == []
    assert len(await ids(store, q="initiator:me")) == 2
    assert await ids(store, q="initiator:me", me="bob") == ["other"]
    assert await ids(store, limit="1") == ["S one"]
    assert await ids(store, limit="1", offset="1") == ["other"]
    assert await ids(store, after_session_id="S one") == ["other"]
    assert await ids(store, after_session_id="other") == []


async def test_the_place_of_a_session_that_went_on(store: Store) -> None:
    for n in range(4):
        store.whole(NOON + n, client_session_id=f"s{n}", initiator_id="ann")
    while roll_up(store.connection):
        pass
    _, body = await get(store, limit="2")
    last = body["sessions"][-1]
    store.whole(NOON + SECOND, client_session_id=last["id"], initiator_id="ann")
    while roll_up(store.connection):
        pass
    place = {"after_session_id": last["id"], "after_active_at": last["last_active_at"]}
    assert await ids(store, **place) == ["s1", "s0"]


def test_understood() -> None:
    params = {"q": "model:m bob", "limit": "7", "after_session_id": "X", "offset": "0"}
    assert parse_session_query(params, owner="ann") == SessionQuery(
        owner="ann", model="m", initiator="bob", limit=7, after_session_id="X"
    )
    moment = "1970-01-01T00:00:01Z"
    asked = parse_session_query({"after_session_id": "x", "after_active_at": moment})
    assert asked == replace(SessionQuery(), after_session_id="x", after_active_at=1_000_000)
    assert parse_thread_query({}) == ThreadQuery(None, None, 50)
    assert parse_thread_query({"after_id": AN_ID.upper(), "limit": "200"}) == ThreadQuery(
        AN_ID, None, 200
    )


def invalid(detail: str, field: str = "q") -> dict[str, Any]:
    return {
        "message": "Invalid session search query.",
        "validations": [{"field": field, "detail": detail}],
    }


@pytest.mark.parametrize(
    ("params", "body"),
    [
        (
            {"after_session_id": "x", "offset": "1"},
            {
                "message": "Query parameters have invalid values.",
                "detail": "Cannot use both after_session_id and offset pagination in the same"
                " request.",
            },
        ),
        *(
            (
                {"limit": text},
                {
                    "message": "Invalid pagination limit value.",
                    "detail": "Pagination limit must be in range (0, 1000]",
                },
            )
            for text in ("0", "-1", "1001")
        ),
        (
            {"limit": "x"},
            {
                "message": "Query parameters have invalid values.",
                "validations": [
                    {"field": "limit", "detail": 'Query param "limit" must be a valid integer'}
                ],
            },
        ),
        (
            {"after_active_at": "1970-01-01T00:00:01Z"},
            {
                "message": "Query parameters have invalid values.",
                "validations": [
                    {
                        "field": "after_active_at",
                        "detail": 'Query param "after_active_at" goes with after_session_id',
                    }
                ],
            },
        ),
        ({"q": ":a"}, invalid("Query element \":a\" cannot start or end with ':'")),
        ({"q": "A:"}, invalid("Query element \"a:\" cannot start or end with ':'")),
        ({"q": "a:b:c"}, invalid("Query element \"a:b:c\" can only contain 1 ':'")),
        ({"q": "colour:red"}, invalid('"colour" is not a valid query param', "colour")),
        ({"q": "text:red"}, invalid('"text" is not a valid query param', "text")),
        (
            {"q": "model:a model:b"},
            invalid('Query param "model" provided more than once, found 2 times', "model"),
        ),
        (
            {"q": 'started_after:"2026-01-02T00:00:00Z" started_before:"2026-01-01T00:00:00Z"'},
            invalid('"started_before" must be after "started_after" if set', "started_before"),
        ),
    ],
)
async def test_refused_in_coders_words(
    store: Store, params: dict[str, str], body: dict[str, Any]
) -> None:
    assert await get(store, **params) == (400, body)


@pytest.mark.parametrize("text", ["", "x", "2026-01-01", "now", "9" * 1000])
def test_after_active_at_is_a_time(text: str) -> None:
    params = {"after_session_id": "s", "after_active_at": text}
    if not text:
        assert parse_session_query(params).after_active_at is None
        return
    with pytest.raises(BadQuery) as caught:
        parse_session_query(params)
    assert caught.value.body["validations"][0]["field"] == "after_active_at"


async def test_an_unknown_cursor(store: Store) -> None:
    loop(store)
    for name in ("x", 'a "b"', "\0", "%"):
        assert await get(store, after_session_id=name) == (
            400,
            {
                "message": "Query parameter has invalid value.",
                "detail": f'after_session_id: session "{name}" not found',
            },
        )


async def test_an_unknown_initiator(store: Store) -> None:
    loop(store)
    text = 'user "bob" either does not exist, or you are unauthorized to view them'
    assert await get(store, q="initiator:bob") == (400, invalid(text, "initiator"))


@pytest.mark.parametrize(
    ("params", "message", "detail"),
    [
        (
            {"after_id": "x"},
            "Invalid after_id query parameter.",
            'Query param "after_id" must be a valid uuid',
        ),
        (
            {"before_id": "'"},
            "Invalid before_id query parameter.",
            'Query param "before_id" must be a valid uuid',
        ),
        (
            {"after_id": AN_ID, "before_id": OTHER_ID},
            "Cannot use both after_id and before_id in the same request.",
            None,
        ),
        *(
            ({"limit": text}, "Invalid limit query parameter.", "Limit must be between 1 and 200.")
            for text in ("0", "201", "-1", "x", "1_0", "9" * 5000)
        ),
        ({"after_id": AN_ID}, "Invalid pagination cursor.", ...),
        ({"before_id": AN_ID}, "Invalid pagination cursor.", ...),
    ],
)
async def test_a_bad_page_of_threads(
    store: Store, params: dict[str, str], message: str, detail: Any
) -> None:
    loop(store)
    status, body = await one(store, "s", **params)
    assert (status, body["message"]) == (400, message)
    if detail is not ...:
        assert body.get("detail") == detail


async def test_pages_of_threads(store: Store) -> None:
    keys = [store.whole(NOON + n * SECOND, client_session_id="s") for n in range(7)]
    forth: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        _, body = await one(store, "s", limit="3", **cursor)
        forth += [thread["id"] for thread in body["threads"]]
        if body["after_id"] is None:
            break
        cursor = {"after_id": body["after_id"]}
    assert forth == keys
    back: list[str] = []
    cursor = {"before_id": keys[-1]}
    while True:
        _, body = await one(store, "s", limit="2", **cursor)
        back = [thread["id"] for thread in body["threads"]] + back
        if body["before_id"] is None:
            break
        cursor = {"before_id": body["before_id"]}
    assert back == keys[:-1]
    _, body = await one(store, "s", after_id=keys[-1])
    assert (body["threads"], body["page_started_at"], body["page_ended_at"]) == ([], None, None)


HOSTILE = [
    "a/b",
    "../interceptions",
    "a%2Fb",
    "%",
    "a?b=c&d",
    "quote \" and ' DROP TABLE sessions; --",
    "nul\0inside",
    "\u202e\U0001f600 \u00e9",
    "last",
    ".",
    " ",
    "x" * 60_000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:20]))
async def test_any_id(store: Store, name: str) -> None:
    store.whole(NOON, client_session_id="someone else's")
    store.whole(NOON + 1, client_session_id=name)
    status, body = await one(store, name)
    assert (status, body["id"], body["thread_count"]) == (200, name, 1)
    assert await ids(store) == [name, "someone else's"]
    assert await ids(store, after_session_id=name) == ["someone else's"]
    if '"' not in name:
        assert await ids(store, q=f'session_id:"{name}"') == [name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(), st.text(), st.text())
async def test_any_text_is_answered(store: Store, query: str, cursor: str, name: str) -> None:
    for more in ({"q": query}, {"q": f'model:"{query}"'}, {"after_session_id": cursor}):
        assert (await get(store, **more))[0] in (200, 400)
    if name:
        assert (await one(store, name.encode(errors="replace").decode()))[0] == 404


async def test_no_session(store: Store) -> None:
    loop(store)
    missing = (404, {"message": "Session not found."})
    for path in ("x", "S", "s/", "%20", "%00", "%ff", "%ed%a0%80", "%", "last", "s%00", "x" * 99):
        assert await get(store, f"sessions/{path}") == missing, path
    assert await respond("/api/v2/aibridge/sessions/", {}, store.path, initiator=None) is None


async def test_half_a_surrogate_pair(store: Store) -> None:
    loop(store)
    for name in ("q", "after_session_id"):
        status, body = await get(store, **{name: "\udc80"})
        assert (status, body["message"]) == (400, "Query parameters have invalid values.")
        assert body["validations"][0]["field"] == name


async def test_a_user_sees_their_own_only(store: Store) -> None:
    first, _, _ = loop(store)
    store.whole(NOON + 9 * SECOND, client_session_id="s", initiator_id="bob")
    store.whole(NOON + 8 * SECOND, client_session_id="b", initiator_id="bob", model="m-bob")
    assert [i["count"] for _, i in [await get(store, owner=name) for name in ("ann", "bob")]] == [
        1,
        2,
    ]
    missing = (404, {"message": "Session not found."})
    assert await one(store, "b", owner="ann") == missing
    assert await one(store, "b", owner="Bob") == missing
    assert await one(store, first, owner="bob") == missing
    # Both have a session of this id, and each gets their own; who sees all, the later one.
    assert (await one(store, "s", owner="ann"))[1]["initiator"]["id"] == "ann"
    assert (await one(store, "s", owner="bob"))[1]["initiator"]["id"] == "bob"
    assert (await one(store, "s"))[1]["initiator"]["id"] == "bob"
    # The other's sessions cannot be told from those that never were.
    for name in ("b", "nothing"):
        status, body = await get(store, owner="ann", after_session_id=name)
        assert (status, body["detail"]) == (400, f'after_session_id: session "{name}" not found')
    assert await ids(store, owner="ann", q="model:m-bob") == []
    assert await ids(store, owner="ann", q="session_id:b") == []
    assert (await get(store, owner="ann", q="initiator:bob"))[0] == 400
    # One's own name is known before the first session.
    assert await ids(store, owner="eve", q="initiator:eve") == []
    # Who sees everybody's is told to say which one a page ended with.
    status, body = await get(store, after_session_id="s")
    assert status == 400
    assert "after_active_at" in body["detail"]


async def test_a_broken_store_is_500(store: Store) -> None:
    store.connection.execute("PRAGMA user_version = 99")
    for path, what in (
        ("sessions", "getting AI Bridge sessions"),
        ("sessions/s", "fetching session threads"),
    ):
        status, body = await get(store, path)
        assert (status, body["message"]) == (500, f"Internal error {what}.")
        assert "newer aigw" in body["detail"]
