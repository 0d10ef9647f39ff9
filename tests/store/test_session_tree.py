from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aigw.records import Status
from aigw.store import session_contents
from aigw.store.session_object import session_object, summary_object
from aigw.store.session_tree import exact_session, find_session, read_session
from aigw.store.sessions import SessionQuery, list_sessions, unique_beginning
from tests.store.conversation import Conversation
from tests.store.rows import NOON, SECOND, Store, end, prompt, start

if TYPE_CHECKING:
    import sqlite3

    from aigw.store.session_parts import Session, Thread


def read(connection: sqlite3.Connection, wanted: str = "session-1", **options: Any) -> Session:
    return read_session(connection, find_session(connection, wanted).seq, **options)


def origins(session: Session) -> list[tuple[str | None, str | None]]:
    """Each thread's prompt and the call that started it."""
    return [
        (each.prompt, None if each.origin is None else each.origin.tool_call_id)
        for each in session.threads
    ]


def results(thread: Thread) -> dict[str, str | None]:
    return {
        call.tool_call_id: None if call.result is None else call.result.content
        for step in thread.steps
        for call in step.calls
    }


# Finding a session.


def test_find_by_any_id(store: Store, reader: sqlite3.Connection) -> None:
    store.write(start("0aa1", client_session_id="alpha-1"), end("0aa1", NOON + SECOND))
    store.write(start("0ab2", NOON + SECOND, client_session_id="beta"), end("0ab2", NOON + 2))
    store.write(start("0cc3", NOON, client_session_id=None), end("0cc3", NOON + 9 * SECOND))
    for wanted, found in [
        ("alpha-1", "alpha-1"),
        ("al", "alpha-1"),
        (" beta ", "beta"),
        ("0aa1", "alpha-1"),
        ("0AB", "beta"),
        ("0cc3", "0cc3"),
        ("0c", "0cc3"),
    ]:
        assert find_session(reader, wanted).id == found


def test_last_is_the_one_active_last(store: Store, reader: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no session yet"):
        find_session(reader, "last")
    talk = Conversation(store, "old", initiator_id="ann")
    talk.say("one")
    Conversation(store, "new", initiator_id="bob").say("two")
    store.connection.execute("UPDATE sessions SET last_active_at = ? WHERE id = 'old'", (NOON * 2,))
    assert find_session(reader, "last").id == "old"
    assert find_session(reader, "last", "bob").id == "new"
    with pytest.raises(ValueError, match="no session yet"):
        find_session(reader, "last", "eve")


def test_ambiguous_and_unknown(store: Store, reader: sqlite3.Connection) -> None:
    for name in ("work-1", "work-2"):
        Conversation(store, name).say("hello")
    with pytest.raises(ValueError, match="several sessions begin with 'work-': work-1, work-2"):
        find_session(reader, "work-")
    for wanted in ("nothing", "%", "work-1x", "\udcff", "a\x00b"):
        with pytest.raises(ValueError, match="there is no session"):
            find_session(reader, wanted)
    with pytest.raises(ValueError, match="needed"):
        find_session(reader, " ")


def test_one_id_of_several_initiators(store: Store, reader: sqlite3.Connection) -> None:
    for number, name in enumerate(("ann", "bob")):
        store.write(
            start(f"0{number}", NOON + number, client_session_id="shared", initiator_id=name)
        )
    active = "UPDATE sessions SET last_active_at = ? WHERE initiator_id = 'ann'"
    store.connection.execute(active, (NOON * 2,))
    for wanted in ("shared", "sha"):
        assert find_session(reader, wanted).initiator_id == "ann"
        assert find_session(reader, wanted, "bob").initiator_id == "bob"
        with pytest.raises(ValueError, match="there is no session"):
            find_session(reader, wanted, "eve")
    # Neither does the id of another one's interception lead there.
    with pytest.raises(ValueError, match="there is no session"):
        find_session(reader, "00", "bob")
    assert exact_session(reader, "00", "bob") is None
    assert exact_session(reader, "sha") is None


def test_a_shortened_id_finds_its_session(store: Store, reader: sqlite3.Connection) -> None:
    names = ["a", "ab", "abc-1", "abc-12", "abd", "b", "zzzzzz"]
    for name in names:
        Conversation(store, name).say("x")
    short = [unique_beginning(reader, name, 2) for name in names]
    assert short == ["a", "ab", "abc-1", "abc-12", "abd", "b", "zz"]
    assert [find_session(reader, each).id for each in short] == names


# Threads, steps, calls and their results.


def test_a_loop_of_tools(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    first = talk.say("fix it", calls={"c1": {"command": "ls"}, "c2": {"tool": "Read"}})
    second = talk.say(results={"c1": "a b", "c2": "denied"}, errors=frozenset({"c2"}))
    talk.say("thanks", calls={"c3": {}})
    session = read(reader)
    one, two = session.threads
    assert [step.id for step in one.steps] == [first, second]
    assert one.steps[1].parent_id == first
    assert results(one) == {"c1": "a b", "c2": "denied"}
    assert results(two) == {"c3": None}
    read_call = one.steps[0].calls[1]
    assert (read_call.tool, read_call.input) == ("Read", "{}")
    assert read_call.result is not None
    assert read_call.result.is_error
    assert read_call.result.interception_id == second
    assert session.tool_errors == 1
    assert session.summary.tools == {"Bash": 2, "Read": 1}
    assert one.figures.requests == 2
    assert one.figures.input_tokens == 20


def test_all_facts_of_a_step(store: Store, reader: sqlite3.Connection) -> None:
    store.whole()
    (thread,) = read(reader).threads
    (step,) = thread.steps
    assert (step.provider, step.provider_name, step.route) == (
        "anthropic",
        "anthropic",
        "/v1/messages",
    )
    assert (step.credential_kind, step.credential_hint) == ("byok", "sk-...abcd")
    assert (step.duration_ms, step.time_to_first_byte_ms, step.streaming) == (1000, 300, True)
    assert [thought.content for thought in step.thoughts] == ["let me think"]
    assert step.thoughts[0].source == "thinking"
    assert step.tokens[0].metadata == {"completion_reasoning": 5}
    (call,) = step.calls
    assert (call.injected, call.server_url, call.invocation_error) == (
        True,
        "https://mcp.example",
        "boom",
    )
    # Its result belongs to a call that nobody recorded.
    assert [each.tool_call_id for each in step.other_results] == ["call_0"]
    assert step.context_share is None


def test_context_share_and_costs(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    figures = {"context_window": 200, "cost_micros": 7, "unpriced": 1, "estimated": 2}
    talk.say("one", figures=figures)
    talk.say("two", figures=figures, plan="claude")
    session = read(reader)
    # 10 in, 30 read from the cache and 40 written to it.
    assert session.threads[0].steps[0].context_share == pytest.approx(0.4)
    assert session.threads[1].steps[0].plan == "claude"
    for sums in (session.summary, session.threads[1].figures):
        assert sums.plan_micros == 7
    assert session.summary.cost_micros == 7
    assert session.threads[1].figures.cost_micros == 0
    assert (session.summary.unpriced, session.summary.estimated) == (2, 4)


def test_running_steps(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("one", running=True)
    session = read(reader)
    (thread,) = session.threads
    assert (thread.ended_at, thread.steps[0].status, thread.steps[0].input_tokens) == (
        None,
        None,
        0,
    )
    assert session.summary.running == 1
    assert session_object(session)["threads"][0]["agentic_actions"][0]["attempts"] is None


def test_a_retry_brings_its_results_again(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"c1": {}})
    failed = talk.say(results={"c1": "first"}, errors=frozenset({"c1"}), status=Status.FAILED)
    aborted = talk.say(results={"c1": "first"}, errors=frozenset({"c1"}), status=Status.ABORTED)
    talk.say(results={"c1": "first"}, errors=frozenset({"c1"}))
    branch = talk.say(results={"c1": "first"}, errors=frozenset({"c1"}))
    session = read(reader)
    (thread,) = session.threads
    assert [step.retry_of for step in thread.steps] == [None, None, failed, aborted, None]
    assert thread.steps[-1].id == branch
    assert all(step.other_results == [] for step in thread.steps)
    assert session.tool_errors == 1


def test_call_ids_that_are_used_again(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("one", calls={"call_0": {"n": 1}})
    talk.say(results={"call_0": "first"}, calls={"call_0": {"n": 2}})
    talk.say(results={"call_0": "second"}, calls={"call_0": {"n": 3}})
    (thread,) = read(reader).threads
    found = [call.result.content if call.result else None for s in thread.steps for call in s.calls]
    assert found == ["first", "second", None]


def test_a_call_id_with_a_nul(store: Store, reader: sqlite3.Connection) -> None:
    """Of older records: SQLite looks for what stands before it, which may be another call's id."""
    talk = Conversation(store)
    first = talk.say("one", calls={"a": {}})
    talk.say("two", results={"a\0b": "odd"})
    (thread,) = read(reader, after=first).threads
    assert [result.content for result in thread.steps[0].other_results] == ["odd"]


def test_a_page_gives_no_call_the_result_of_another_pages(
    store: Store, reader: sqlite3.Connection
) -> None:
    """With ids that are used again, whatever part of the session is shown."""
    talk = Conversation(store)
    first = talk.say("one", calls={"call_0": {"n": 1}})
    second = talk.say("two", calls={"call_0": {"n": 2}})
    talk.say(results={"call_0": "of the second"})
    third = talk.say("three", results={"call_1": "of none"})
    talk.say("four", calls={"call_1": {}})

    def whole(session: Session) -> dict[str, Any]:
        return {
            t.id: (results(t), [r.content for r in t.steps[0].other_results])
            for t in session.threads
        }

    expected = whole(read(reader))
    assert expected[first] == ({"call_0": None}, [])
    assert expected[second] == ({"call_0": "of the second"}, [])
    assert expected[third] == ({}, ["of none"])
    cursor = None
    for thread in expected:
        page = read(reader, limit=1, after=cursor)
        assert whole(page) == {thread: expected[thread]}
        cursor = thread


def test_ten_thousand_calls_of_one_id_are_joined_in_no_time(
    store: Store, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    moment = session_contents._moment

    def counted(made: Any) -> Any:
        nonlocal looks
        looks += 1
        return moment(made)

    monkeypatch.setattr(session_contents, "_moment", counted)
    talk = Conversation(store)
    talk.say("go", calls={"call_0": {}})
    for _ in range(500):
        talk.say(results={"call_0": "x"}, calls={"call_0": {}})
    (thread,) = read(reader).threads
    assert [results(thread)["call_0"], thread.steps[499].calls[0].result is None] == [None, False]
    assert looks < 500 * 15


def test_a_result_in_another_thread(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("one", calls={"c1": {}, "c2": {}})
    # The last result leads to no call, so this one begins a thread.
    talk.say("two", results={"c1": "late", "nobody's": "?"})
    first, second = read(reader).threads
    assert results(first) == {"c1": "late", "c2": None}
    assert [each.tool_call_id for each in second.steps[0].other_results] == ["nobody's"]
    # Nor does a page without the thread of the result lose it, nor one without the call invent one.
    assert results(read(reader, limit=1).threads[0]) == {"c1": "late", "c2": None}
    (alone,) = read(reader, after=first.id).threads
    assert [each.tool_call_id for each in alone.steps[0].other_results] == ["nobody's"]


def test_order_is_that_of_time_whatever_came_first(
    store: Store, reader: sqlite3.Connection
) -> None:
    store.write(start("03", NOON + 3), end("03", NOON + 4))
    store.write(start("01", NOON + 1), end("01", NOON + 2))
    store.write(start("02", NOON + 1), end("02", NOON + 2))
    assert [thread.id for thread in read(reader).threads] == ["01", "02", "03"]


# Sub-agents.


def task(prompt: str, **more: Any) -> dict[str, Any]:
    return {"tool": "Task", "prompt": prompt, **more}


def test_a_sub_agent_hangs_below_its_call(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    caller = talk.say("big job", calls={"t1": task("look  around\n"), "t2": task("write")})
    talk.say("look around", calls={"c1": {}})
    talk.say("write", calls={"t3": task("deeper")})
    talk.say("deeper")
    talk.say(results={"c1": "x"})
    talk.say(results={"t1": "seen", "t2": "written"})
    session = read(reader)
    assert origins(session) == [
        ("big job", None),
        ("look around", "t1"),
        ("write", "t2"),
        ("deeper", "t3"),
    ]
    assert session.threads[1].origin is not None
    assert session.threads[1].origin.interception_id == caller


def test_an_agent_started_by_a_message(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"s1": {"tool": "spawn_agent", "message": "look", "prompt": 0}})
    talk.say(results={"s1": "started"})
    talk.say("look", agent_id="a1")
    assert origins(read(reader)) == [("go", None), ("look", "s1")]


def test_what_a_person_types_again_is_no_sub_agent(
    store: Store, reader: sqlite3.Connection
) -> None:
    talk = Conversation(store)
    talk.say("review")
    talk.say("start one", calls={"t1": task("review")})
    talk.say("review")
    talk.say(results={"t1": "done"})
    talk.say("review")
    assert origins(read(reader)) == [
        ("review", None),
        ("start one", None),
        ("review", "t1"),
        ("review", None),
    ]


def test_equal_prompts_in_parallel_and_a_retry(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("twice", calls={"t1": task("same"), "t2": task("same")})
    dead = talk.say("same", status=Status.FAILED)
    talk.say("same", calls={"c1": {}})
    talk.say("same", calls={"c2": {}})
    session = read(reader)
    assert [origin for _, origin in origins(session)] == [None, "t1", "t1", "t2"]
    assert [thread.retry_of for thread in session.threads] == [None, None, dead, None]


def test_what_began_before_the_failure_is_no_retry(
    store: Store, reader: sqlite3.Connection
) -> None:
    store.write(start("01", NOON), end("01", NOON + 9, status=Status.FAILED), prompt("01", "x"))
    for key, at in (("02", NOON + 5), ("03", NOON + 9)):
        store.write(start(key, at), end(key, at + 1), prompt(key, "x"))
    assert [thread.retry_of for thread in read(reader).threads] == [None, None, "01"]


def test_agents_that_the_client_names(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"t1": task("explore"), "t2": task("with a preamble")})
    talk.say("explore", agent_id="a1")
    # Only one call is left that the main agent waits for.
    talk.say("[preamble] with a preamble", agent_id="a2")
    talk.say(results={"t1": "1", "t2": "2"})
    talk.say("and once more", agent_id="a1")
    talk.say("nobody knows", agent_id="a3")
    assert origins(read(reader)) == [
        ("go", None),
        ("explore", "t1"),
        ("[preamble] with a preamble", "t2"),
        ("and once more", "t1"),
        ("nobody knows", None),
    ]


def test_hostile_arguments_are_no_prompts(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"a": {"prompt": 1}, "b": {"prompt": ["x"]}, "c": {"prompt": None}})
    talk.say("1")
    for broken in ('{"prompt": "x"', '["prompt"]', '"prompt"', "[" * 5000 + '"prompt"'):
        store.connection.execute(
            "UPDATE tool_usages SET input = ? WHERE tool_call_id = 'c'", (broken,)
        )
        assert origins(read(reader)) == [("go", None), ("1", None)]


def test_an_argument_that_ends_within_an_emoji(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"a": task("x"), "b": task("whole \U0001f600")})
    half = r'{"prompt": "half \ud83d"}'
    store.connection.execute("UPDATE tool_usages SET input = ? WHERE tool_call_id = 'a'", (half,))
    # As the wire readers record it.
    talk.say("half \ufffd")
    talk.say("whole \U0001f600")
    assert origins(read(reader)) == [("go", None), ("half \ufffd", "a"), ("whole \U0001f600", "b")]


def test_child_sessions(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"t1": task("sub work")})
    child = Conversation(store, "child-1", parent_session_id="session-1")
    child.at = talk.at
    child.say("sub work", figures={"cost_micros": 5})
    other = Conversation(store, "child-2", parent_session_id="session-1")
    other.at = talk.at
    other.say("of its own")
    Conversation(store, "foreign", parent_session_id="session-1", initiator_id="eve").say("x")
    Conversation(store, "self", parent_session_id="self").say("x")
    session = read(reader)
    found = [
        (each.row.id, each.origin.tool_call_id if each.origin else None, each.figures.cost_micros)
        for each in session.children
    ]
    assert found == [("child-1", "t1", 5), ("child-2", None, 0)]
    assert read(reader, "child-1").summary.parent_id == "session-1"
    assert read(reader, "self").children == []


# Pages.


def test_pages_of_threads(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    ids = [talk.say(f"prompt {n}") for n in range(5)]
    page = read(reader, limit=2)
    assert [thread.id for thread in page.threads] == ids[:2]
    assert (page.before, page.after, page.position, page.page_count, page.pageable) == (
        None,
        ids[1],
        0,
        2,
        5,
    )
    page = read(reader, limit=2, after=page.after)
    assert [thread.id for thread in page.threads] == ids[2:4]
    assert (page.before, page.after) == (ids[2], ids[3])
    assert [t.id for t in read(reader, limit=2, before=page.before).threads] == ids[:2]
    last = read(reader, limit=2, after=page.after)
    assert [thread.id for thread in last.threads] == ids[4:]
    assert (last.before, last.after) == (ids[4], None)
    nothing = read(reader, limit=2, after=ids[4])
    assert nothing.threads == []
    assert read(reader, limit=1, before=ids[4]).threads[0].id == ids[3]
    for cursor in ({"after": "x"}, {"before": "x"}):
        with pytest.raises(ValueError, match="no thread of this session"):
            read(reader, **cursor)
    with pytest.raises(ValueError, match="one of the two"):
        read(reader, after=ids[0], before=ids[1])


def test_families_stay_on_one_page(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("one", calls={"t1": task("sub")})
    second = talk.say("two")
    sub = talk.say("sub", calls={"t2": task("subsub")})
    talk.say("subsub")
    page = read(reader, limit=1, families=True)
    assert [each for each, _ in origins(page)] == ["one", "sub", "subsub"]
    assert (page.page_count, page.pageable) == (1, 2)
    # A sub-agent's id leads to its family.
    for cursor in (page.after, sub):
        assert [each.id for each in read(reader, families=True, after=cursor).threads] == [second]
    assert len(read(reader).threads) == 4


def test_only_threads_that_match(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("one", calls={"t1": task("sub")})
    talk.say("sub", calls={"c1": {"command": "grep Needle"}})
    talk.say("two", calls={"c2": {}})
    talk.say(results={"c2": "no needless words"})
    talk.say("three", calls={"c3": {}})
    talk.say(results={"c3": "a needle"})
    store.index()
    talk.say("four, with a needle")
    found = read(reader, text="needle")
    assert [prompt for prompt, _ in origins(found)] == ["sub", "three", "four, with a needle"]
    found = read(reader, text="needle", families=True)
    assert [prompt for prompt, _ in origins(found)] == [
        "one",
        "sub",
        "three",
        "four, with a needle",
    ]
    assert found.pageable == 3
    assert read(reader, text="absent").threads == []


def test_a_session_that_is_gone(reader: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="gone"):
        read_session(reader, 17)


# JSON, and agreement with the list.


def test_the_object_is_json_and_agrees_with_the_list(
    store: Store, reader: sqlite3.Connection
) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"t1": task("sub")}, figures={"cost_micros": 12, "context_window": 400})
    talk.say("sub")
    Conversation(store, "child", parent_session_id="session-1").say("x")
    (listed,) = list_sessions(reader, SessionQuery(session_id="session-1")).sessions
    found = json.loads(json.dumps(session_object(read(reader))))
    for name, value in json.loads(json.dumps(summary_object(listed))).items():
        assert found[name if name != "threads" else "thread_count"] == value
    main, sub = found["threads"]
    assert sub["origin"] == {"interception_id": main["id"], "tool_call_id": "t1"}
    assert main["agentic_actions"][0]["kind"] == "interception"
    assert main["agentic_actions"][0]["context_share"] == 0.2
    assert [child["id"] for child in found["children"]] == ["child"]
    assert found["page_started_at"] == main["started_at"]


def test_statements_do_not_grow_with_the_session(store: Store, reader: sqlite3.Connection) -> None:
    talk = Conversation(store)
    talk.say("go", calls={"c0": {}, "t": task("sub")})

    def statements() -> int:
        seen: list[str] = []
        reader.set_trace_callback(seen.append)
        read(reader)
        reader.set_trace_callback(None)
        return len(seen)

    few = statements()
    for n in range(30):
        talk.say(results={f"c{n}": "x"}, calls={f"c{n + 1}": {}})
        talk.say(f"prompt {n}")
    assert statements() <= few + 2
