"""The read API of sessions over HTTP: a real daemon, real keys, sessions that clients named."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from tests.e2e.asking import CHAT, JSON_HEADERS, MESSAGES, Api, held_stream
from tests.e2e.control import bearer, new_key
from tests.e2e.daemon import Daemon
from tests.e2e.polling import until
from tests.e2e.raw import Connection, Headers, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import StartDaemon
    from tests.simulator import Simulator

    Model = Callable[[str], str]

PREFIXES = ("/api/v2/aibridge/", "/api/v2/ai-gateway/")
CENTRAL = {
    "CODER_AIBRIDGE_OPENAI_KEY": "sk-central-0123456789",
    "CODER_AIBRIDGE_ANTHROPIC_KEY": "sk-central-0123456789",
}


class Team:
    """A daemon with keys of two users and of an admin."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.ann, _ = new_key(daemon.database, "ann")
        self.bob, _ = new_key(daemon.database, "bob")
        self.admin, _ = new_key(daemon.database, "root", is_admin=True)


@pytest.fixture(scope="module")
def team(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("sessions")
    urls = (simulator.openai_url, simulator.anthropic_url)
    with Daemon(folder, *urls, environment=CENTRAL) as daemon:
        yield Team(daemon)


def claude(session: str) -> Headers:
    """The headers of Claude Code in one of its sessions."""
    return [
        (b"User-Agent", b"claude-cli/2.1.0 (external, cli)"),
        (b"X-Claude-Code-Session-Id", session.encode()),
    ]


def talk(
    daemon: Daemon, session: str, model: str, token: str = "", api: Api = MESSAGES, **more: Any
) -> None:
    """One request in a session."""
    headers = [*JSON_HEADERS, *claude(session), *(bearer(token) if token else [])]
    answer = ask(daemon.port, "POST", api.path, api.body(model, **more), headers)
    assert answer.status == 200, answer


def get(
    daemon: Daemon,
    path: str = "sessions",
    token: str = "",
    prefix: str = PREFIXES[0],
    **params: str | int,
) -> tuple[int, Any]:
    """What the read API answers; the path as it is written on the line."""
    target = f"{prefix}{path}" + (f"?{urlencode(params)}" if params else "")
    headers = bearer(token) if token else []
    answer = ask(daemon.port, "GET", target, headers=headers)
    assert answer.values("content-type") == ["application/json"]
    return answer.status, json.loads(answer.body)


def ids(daemon: Daemon, token: str = "", **params: str | int) -> list[str]:
    status, body = get(daemon, token=token, **params)
    assert status == 200, body
    return [session["id"] for session in body["sessions"]]


def test_who_sees_what(team: Team, model: Model) -> None:
    daemon, name = team.daemon, model("text")
    for session, token in (("ann-1", team.ann), ("bob-1", team.bob), ("both", team.ann)):
        talk(daemon, session, name, token)
    talk(daemon, "both", name, team.bob, prompt="of bob")
    mine = {"q": f"model:{name}"}
    for prefix in PREFIXES:
        status, body = get(daemon, token=team.ann, prefix=prefix, **mine)
        assert (status, body["count"]) == (200, 2)
        assert {session["initiator"]["id"] for session in body["sessions"]} == {"ann@example.com"}
    assert sorted(ids(daemon, team.ann, **mine)) == ["ann-1", "both"]
    assert sorted(ids(daemon, team.bob, **mine)) == ["bob-1", "both"]
    assert sorted(ids(daemon, team.admin, **mine)) == ["ann-1", "bob-1", "both", "both"]
    assert ids(daemon, team.admin, q=f"model:{name} initiator:me") == []
    assert get(daemon, "sessions/bob-1", team.admin)[0] == 200
    # Another's session is none, by its id, by that of a request in it, and as a cursor.
    _, body = get(daemon, "sessions/bob-1", team.bob)
    thread = body["threads"][0]["id"]
    assert get(daemon, f"sessions/{thread}", team.bob)[0] == 200
    missing = (404, {"message": "Session not found."})
    for path in ("bob-1", thread, "no-such"):
        assert get(daemon, f"sessions/{path}", team.ann) == missing
    for cursor in ("bob-1", "no-such"):
        assert get(daemon, token=team.ann, after_session_id=cursor) == (
            400,
            {
                "message": "Query parameter has invalid value.",
                "detail": f'after_session_id: session "{cursor}" not found',
            },
        )
    prompts = {
        get(daemon, "sessions/both", token)[1]["threads"][0]["prompt"]
        for token in (team.ann, team.bob)
    }
    assert prompts == {"hello", "of bob"}
    for lists in ("models", "clients", "providers"):
        assert get(daemon, lists, team.ann)[0] == 200


@pytest.mark.parametrize("path", ["sessions", "sessions/ann-1", "models", "interceptions"])
def test_without_a_key_nothing_is_shown(team: Team, path: str) -> None:
    for token in ("", "aigw_0123456789_x", "sk-other"):
        for prefix in PREFIXES:
            status, body = get(team.daemon, path, token, prefix)
            assert status == 401
            assert body.keys() == {"message"}


def test_coders_header_carries_the_key(team: Team) -> None:
    header = [(b"Coder-Session-Token", team.ann.encode())]
    answer = ask(team.daemon.port, "GET", f"{PREFIXES[0]}sessions", headers=header)
    assert answer.status == 200


def test_a_session_while_it_runs_and_after(team: Team, simulator: Simulator, model: Model) -> None:
    daemon, name, session = team.daemon, model("words-9"), model("session")
    gate = held_stream(simulator, MESSAGES, name)
    with Connection(daemon.port) as connection:
        headers = [*JSON_HEADERS, *claude(session), *bearer(team.ann)]
        connection.send("POST", MESSAGES.path, MESSAGES.body(name, stream=True), headers)
        until(lambda: session in ids(daemon, team.ann), what="the session in the list")
        _, body = get(daemon, f"sessions/{session}", team.ann)
        assert (body["running"], body["ended_at"], body["page_ended_at"]) == (1, None, None)
        assert body["threads"][0]["agentic_actions"][0]["status"] is None
        gate.release()
        connection.receive()
    _, body = get(daemon, f"sessions/{session}", team.ann)
    assert (body["running"], body["client"], body["requests"]) == (0, "Claude Code", 1)
    assert body["ended_at"] == body["page_ended_at"] is not None
    (thread,) = body["threads"]
    assert (thread["prompt"], thread["provider"]) == ("hello", "anthropic")
    (action,) = thread["agentic_actions"]
    assert (action["status"], action["model"]) == ("completed", name)
    assert (
        action["token_usage"]["output_tokens"] == body["token_usage_summary"]["output_tokens"] > 0
    )
    status, found = get(daemon, "interceptions", team.ann, q=f"session_id:{session}")
    assert (status, found["count"]) == (200, 1)
    assert found["results"][0]["session_id"] == session
    assert found["results"][0]["thread_root_id"] == thread["id"] == found["results"][0]["id"]


@pytest.mark.parametrize(
    "name", ["a/b", "a%2Fb", "..", "100%", 'q"uote', "semi;colon?x=1#y", "last", "a b"]
)
def test_any_id_in_the_path(team: Team, model: Model, name: str) -> None:
    talk(team.daemon, name, model("text"), team.ann)
    status, body = get(team.daemon, f"sessions/{quote(name, safe='')}", team.ann)
    assert (status, body["id"]) == (200, name)
    assert name not in ids(team.daemon, team.ann, after_session_id=name)


@pytest.mark.parametrize(
    "path", ["%00", "%ff", "%ed%a0%80", "%", "%2e%2e%2f%2e%2e", "x" * 100_000, "'%20OR%201=1--"]
)
def test_paths_of_no_session(team: Team, path: str) -> None:
    answer = get(team.daemon, f"sessions/{path}", team.admin)
    assert answer == (404, {"message": "Session not found."})


@pytest.mark.parametrize(
    "query",
    [
        "q=%ff",
        "q=%00",
        "q=model%3A%22%00%22",
        "q=model%3A" + "x" * 100_000,
        "q=model%3A" + "%25" * 30_000,
        "q=%22",
        "q=model%3A%27%20OR%201%3D1--",
        "after_session_id=%ff%00%27",
        "q=client%3A%F0%9F%98%80",
    ],
    ids=lambda query: query[:40],
)
def test_hostile_queries(team: Team, query: str) -> None:
    for path in ("sessions", "interceptions", "models"):
        answer = ask(
            team.daemon.port, "GET", f"{PREFIXES[0]}{path}?{query}", headers=bearer(team.admin)
        )
        assert answer.status in (200, 400), answer
        body = json.loads(answer.body)
        found = body if isinstance(body, list) else body.get("sessions") or body.get("results")
        if query.startswith("q=model"):
            assert not found


def test_errors_come_as_coders(team: Team) -> None:
    daemon, token = team.daemon, team.ann
    talk(daemon, "errors", "sim-text", token)
    nowhere = "01890a5d-ac96-774b-bcce-b302099a8057"
    for path, params, message, detail in (
        ("sessions", {"q": "x:y"}, "Invalid session search query.", None),
        ("sessions", {"limit": 1001}, "Invalid pagination limit value.", "Pagination limit must be in range (0, 1000]"),
        ("sessions", {"after_session_id": "x", "offset": 1}, "Query parameters have invalid values.", "Cannot use both after_session_id and offset pagination in the same request."),
        ("sessions/errors", {"limit": 201}, "Invalid limit query parameter.", "Limit must be between 1 and 200."),
        ("sessions/errors", {"after_id": "x"}, "Invalid after_id query parameter.", 'Query param "after_id" must be a valid uuid'),
        ("sessions/errors", {"after_id": nowhere, "before_id": nowhere}, "Cannot use both after_id and before_id in the same request.", None),
    ):  # fmt: skip
        status, body = get(daemon, path, token, **params)  # type: ignore[arg-type]
        assert (status, body["message"], body.get("detail")) == (400, message, detail)
    status, body = get(daemon, "sessions/errors", token, after_id=nowhere)
    assert (status, body["message"]) == (400, "Invalid pagination cursor.")
    status, body = get(daemon, token=token, q="x:y")
    assert body["validations"] == [{"field": "x", "detail": '"x" is not a valid query param'}]


def test_paging_meets_each_session_once_while_new_ones_arrive(team: Team, model: Model) -> None:
    daemon, name = team.daemon, model("text")
    known = [f"{name}-{n}" for n in range(12)]
    for session in known:
        talk(daemon, session, name, team.bob, api=CHAT if session.endswith("0") else MESSAGES)
    _settled(daemon, team.bob, name, len(known))
    stop = threading.Event()

    def arrive() -> None:
        n = 0
        while not stop.is_set():
            talk(daemon, f"{name}-new-{n}", name, team.bob)
            n += 1

    arriving = threading.Thread(target=arrive)
    arriving.start()
    try:
        seen: list[str] = []
        _, page = get(daemon, token=team.bob, q=f"model:{name}", limit=2)
        while page["sessions"]:
            assert page["count"] >= len(known)
            seen += [session["id"] for session in page["sessions"]]
            last = page["sessions"][-1]
            status, page = get(
                daemon,
                token=team.bob,
                q=f"model:{name}",
                limit=2,
                after_session_id=last["id"],
                after_active_at=last["last_active_at"],
            )
            assert status == 200, page
    finally:
        stop.set()
        arriving.join()
    assert [session for session in seen if session in known] == known[::-1]
    assert len(seen) == len(set(seen))


def _settled(daemon: Daemon, token: str, name: str, count: int) -> None:
    """Wait until the store's upkeep knows when the sessions were active last."""

    def settled() -> bool:
        _, page = get(daemon, token=token, q=f"model:{name}")
        sessions = page["sessions"]
        return len(sessions) == count and all(
            session["last_active_at"] == session["ended_at"] for session in sessions
        )

    until(settled, what="the last activity of all sessions")


def test_open_mode_sees_all(start_daemon: StartDaemon, model: Model) -> None:
    daemon = start_daemon(environment=CENTRAL)
    for n in range(3):
        talk(daemon, f"s{n}", model("text"))
    assert sorted(ids(daemon)) == ["s0", "s1", "s2"]
    assert sorted(ids(daemon, q="initiator:me")) == ["s0", "s1", "s2"]
    assert get(daemon, "sessions/s1")[1]["requests"] == 1
    # Web pages of others are kept out, as from everything in open mode.
    headers = [(b"Origin", b"https://evil.example")]
    assert ask(daemon.port, "GET", f"{PREFIXES[0]}sessions", headers=headers).status == 403
    # The first key ends it, and the local user's records are then an admin's to see.
    token, _ = new_key(daemon.database, "ann")
    admin, _ = new_key(daemon.database, "root", is_admin=True)
    assert get(daemon)[0] == 401
    assert ids(daemon, token) == []
    assert sorted(ids(daemon, admin)) == ["s0", "s1", "s2"]
