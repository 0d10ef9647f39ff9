from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aigw.records import rfc3339
from aigw.store.rollup import roll_up
from aigw.store.views import VIEWS
from tests.cli.exporting import CALLS, FIRST, HOSTILE, SECOND_ID, write_thread
from tests.cli.reading import Command
from tests.store.rows import DAY, NOON, SECOND, Store, end, prompt

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "export.md"


def rows(command: Command, statement: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in command.lines("sql", "--json", statement)]


def test_interceptions_are_whole(store: Store, command: Command) -> None:
    write_thread(store, plan="claude")
    store.start(NOON + DAY)
    first, second, third = rows(command, "SELECT * FROM v_interceptions ORDER BY started_us")
    assert (first["id"], first["thread_id"], first["parent_id"]) == (FIRST, FIRST, None)
    assert (second["id"], second["thread_id"], second["parent_id"]) == (SECOND_ID, FIRST, FIRST)
    assert first["session_id"] == second["session_id"] == "session-1"
    assert first["started_at"] == "2026-01-01T12:00:00.000000Z"
    assert first["started_us"] == NOON
    assert (first["cost_usd"], first["cost_micros"], first["plan"]) == (1.0, 1_000_000, "claude")
    assert (first["tool_calls"], first["prompt"]) == (2, "list the files")
    assert (third["status"], third["ended_at"], third["cost_usd"]) == ("running", None, None)


@pytest.mark.parametrize("moment", [0, 1, -1, -999_999, -1_000_000, -1_000_001, NOON, NOON + 1])
def test_times_are_those_of_records(store: Store, command: Command, moment: int) -> None:
    store.start(max(moment, 0), client_session_id=None)
    store.connection.execute("UPDATE interceptions SET started_at = ?", (moment,))
    (found,) = rows(command, "SELECT started_at FROM v_interceptions")
    assert found["started_at"] == rfc3339(moment)


def test_tool_calls_have_their_results(store: Store, command: Command) -> None:
    write_thread(store)
    found = rows(command, "SELECT * FROM v_tool_calls ORDER BY seq")
    assert [call["tool_call_id"] for call in found] == list(CALLS)
    assert [call["result"] for call in found] == [f"of {call}" for call in CALLS]
    assert [call["result_is_error"] for call in found] == [0, 1]
    assert found[0]["result_at"] == rfc3339(NOON + 3 * SECOND)
    # Another's call of the same id has not this result.
    store.whole(NOON + 9 * SECOND, initiator_id="other")
    (other,) = rows(command, "SELECT * FROM v_tool_calls WHERE initiator_id = 'other'")
    assert other["result"] is None


def test_sessions_and_threads_add_up(store: Store, command: Command) -> None:
    write_thread(store)
    key = store.start(NOON + 9 * SECOND)
    store.write(prompt(key, "and then?"), end(key, NOON + 10 * SECOND, cost_micros=1))
    (session,) = rows(command, "SELECT * FROM v_sessions")
    assert (session["requests"], session["threads"], session["errors"]) == (3, 2, 1)
    assert (session["cost_micros"], session["input_tokens"], session["tool_calls"]) == (
        1_500_001,
        30,
        2,
    )
    assert (session["first_prompt"], session["last_prompt"]) == ("list the files", "and then?")
    first, second = rows(command, "SELECT * FROM v_threads ORDER BY started_us")
    assert (first["id"], first["requests"], first["cost_usd"]) == (FIRST, 2, 1.5)
    assert (first["prompt"], second["prompt"]) == ("list the files", "and then?")
    assert first["ended_at"] == rfc3339(NOON + 4 * SECOND)


@pytest.mark.parametrize("rolled", [0, 5, 1_000_000])
def test_daily_usage_is_exact_however_far_the_upkeep_is(
    store: Store, command: Command, rolled: int
) -> None:
    write_thread(store)
    store.whole(NOON + DAY, model="gpt-5", plan="chatgpt")
    store.start(NOON + DAY, model="gpt-5", plan="chatgpt")
    if rolled:
        roll_up(store.connection, rolled)
    first, second = rows(command, "SELECT * FROM v_daily_usage ORDER BY day")
    assert (first["day"], first["requests"], first["errors"]) == ("2026-01-01", 2, 1)
    assert (first["cost_usd"], first["output_tokens"], first["plan"]) == (1.5, 40, None)
    assert (second["day"], second["model"], second["plan"]) == ("2026-01-02", "gpt-5", "chatgpt")
    assert (second["requests"], second["input_tokens"]) == (2, 10)


def test_records_have_views(store: Store, command: Command) -> None:
    store.whole(prompt="hello")
    assert rows(command, "SELECT prompt, client FROM v_prompts") == [
        {"prompt": "hello", "client": "Claude Code"}
    ]
    assert rows(command, "SELECT source, content FROM v_thoughts") == [
        {"source": "thinking", "content": "let me think"}
    ]
    (usage,) = rows(command, "SELECT * FROM v_token_usages")
    assert (usage["output_tokens"], usage["cost_micros"], usage["cost_basis"]) == (
        20,
        None,
        "unpriced",
    )


def test_an_empty_store_has_empty_views(store: Store, command: Command) -> None:
    del store
    for view in VIEWS:
        assert rows(command, f"SELECT * FROM {view.name}") == []
        (line,) = command.lines("sql", f"SELECT * FROM {view.name}")
        assert line.split() == [column.name for column in view.columns]


def test_a_table_is_aligned_and_nothing_in_it_acts(store: Store, command: Command) -> None:
    store.whole(prompt=HOSTILE)
    store.whole(NOON + 1, prompt="x" * 1_000)
    lines = command.lines(
        "sql", "SELECT prompt, 1.5 AS n, NULL AS none FROM v_prompts ORDER BY seq"
    )
    assert lines[0].split() == ["prompt", "n", "none"]
    assert all(line.isprintable() for line in lines)
    assert lines[1].startswith("=HYPERLINK(1)\\e]0;owned\\x07\\u202e\\r\\n\\tI said")
    assert lines[2].split()[0] == "x" * 79 + "\u2026"
    assert all(line.split()[-2:] == ["1.5", "-"] for line in lines[1:])


def test_csv_cells_do_not_act(store: Store, command: Command) -> None:
    store.whole(prompt=HOSTILE)
    assert command.run("sql", "--csv", "SELECT prompt, NULL, 1.5, x'00ff' FROM v_prompts") == 0
    _, row = list(csv.reader(io.StringIO(command.out, newline="")))
    assert row[0].startswith("'=HYPERLINK(1)\\e")
    assert row[0].isprintable()
    assert row[1:] == ["", "1.5", "00ff"]


def test_json_is_json_whatever_the_values(store: Store, command: Command) -> None:
    del store
    found = rows(command, "SELECT 1 AS a, 2 AS a, 1e999 AS b, x'80' AS c, cast(x'80' AS TEXT) AS d")
    assert found == [{"a": 1, "a_2": 2, "b": None, "c": "80", "d": "\ufffd"}]


FORBIDDEN = [
    "DELETE FROM sessions",
    "INSERT INTO meta VALUES ('x', 1)",
    "UPDATE meta SET value = 1",
    "DROP TABLE sessions",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "CREATE TEMP VIEW t AS SELECT 1",
    "ALTER TABLE meta ADD COLUMN x",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "VACUUM",
    "VACUUM INTO '{folder}/copied'",
    "ATTACH '{folder}/other.db' AS other",
    "DETACH main",
    "ANALYZE",
    "REINDEX",
    "PRAGMA user_version = 9",
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = ON",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA temp_store_directory = '{folder}'",
    "SELECT load_extension('{folder}/x.so')",
    "SELECT readfile('{folder}/aigw.db')",
    "SELECT writefile('{folder}/copied', 'x')",
    "SELECT fts3_tokenizer('simple')",
    "INSERT INTO search (search) VALUES ('optimize')",
    "SELECT secret_hash FROM gateway_keys",
    "SELECT * FROM gateway_keys",
    "SELECT 1 FROM gateway_keys WHERE secret_hash > x'00'",
    'SELECT 1 FROM gateway_keys AS k ORDER BY k."SECRET_HASH"',
    "SELECT * FROM gateway_keys NATURAL JOIN (SELECT x'00' AS secret_hash)",
    "SELECT count(*) FROM gateway_keys JOIN (SELECT x'00' AS secret_hash) USING (secret_hash)",
    "SELECT k.id FROM Gateway_Keys AS k FULL JOIN (SELECT x'00' AS [Secret_Hash]) USING ([SECRET_HASH])",
    "WITH k AS (SELECT * FROM gateway_keys) SELECT id FROM k",
    "SELECT (SELECT hex(secret_hash) FROM main.gateway_keys)",
    "EXPLAIN DELETE FROM sessions",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM fsdir('{folder}')",
    "SELECT 1; DELETE FROM sessions",
    "SELECT zeroblob(1000000000)",
    "SELEC 1",
    "",
    " -- nothing",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nothing_but_reading(
    store: Store, command: Command, tmp_path: Path, statement: str
) -> None:
    store.whole()
    canary = "canary-of-a-hash"
    store.connection.execute(
        "INSERT INTO gateway_keys (id, name, user, secret_hash, created_at, providers, models, is_admin)"
        " VALUES ('k', 'n', 'u', ?, 0, '', '', 0)",
        (canary.encode(),),
    )
    before = list(store.connection.iterdump()), sorted(path.name for path in tmp_path.iterdir())
    assert command.run("sql", statement.format(folder=tmp_path)) == 1
    assert command.err.startswith("Error: ")
    assert len(command.err.splitlines()) == 1
    for secret in (canary, canary.encode().hex()):
        assert secret not in command.out.lower() + command.err.lower()
    after = list(store.connection.iterdump()), sorted(path.name for path in tmp_path.iterdir())
    assert after == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, name FROM gateway_keys",
        "SELECT name FROM sqlite_master",
        "PRAGMA table_info(sessions)",
        "SELECT name FROM pragma_table_info('sessions')",
        "SELECT value FROM json_each('[1, 2]')",
        "SELECT rowid FROM search WHERE search MATCH 'hello'",
        "EXPLAIN QUERY PLAN SELECT * FROM v_threads",
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT count(*) FROM n",
        "VALUES (1), (2)",
        "SELECT count(*) FROM v_interceptions WHERE started_us >= micros('2026-01-01T00:00:00Z')",
    ],
)
def test_reading_is_free(store: Store, command: Command, statement: str) -> None:
    store.whole()
    store.index()
    assert command.run("sql", statement) == 0, command.err


def test_wrong_sql_is_told_plainly(store: Store, command: Command) -> None:
    del store
    assert command.run("sql", "SELECT absent FROM v_sessions") == 1
    assert command.err == "Error: no such column: absent\n"
    assert command.run("sql", "SELECT * FROM v_session") == 1
    assert "no such table: v_session. The views are v_interceptions, v_sessions," in command.err
    assert command.run("sql", "SELECT micros('soon')") == 1
    assert "'soon' is not a time" in command.err
    assert command.run("sql", "--json", "--csv", "SELECT 1") == 2


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.mark.parametrize(
    "statement", ["SELECT json_extract('{}', prompt) FROM v_prompts", 'SELECT * FROM "\x1b[2J"']
)
def test_what_an_error_names_does_not_act(store: Store, command: Command, statement: str) -> None:
    store.whole(prompt="\x1b[2J\u202e\x9b31m")
    assert command.run("sql", statement) == 1
    assert "\\e[2J" in command.err
    assert command.err.removesuffix("\n").isprintable()


def test_too_long_is_ended(store: Store, command: Command) -> None:
    del store
    assert command.run("sql", "--timeout", "0.05", ENDLESS) == 1
    assert "longer than 0.05 s" in command.err


def test_large_values_do_not_delay_the_end(store: Store) -> None:
    # A hundred megabytes in each of the few steps between two looks at the clock.
    statement = ENDLESS.replace("max(i)", "max(length(randomblob(i - i + 100000000)))")
    done = subprocess.run(
        [sys.executable, "-m", "aigw", "sql", "--db", store.path, "--timeout", "0.05", statement],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "longer than 0.05 s" in done.stderr


def test_a_limit_says_so(store: Store, command: Command) -> None:
    del store
    statement = ENDLESS.replace("max(i)", "i")
    assert command.run("sql", statement) == 0
    assert len(command.out.splitlines()) == 1_001
    assert "more than 1,000 rows" in command.err
    assert command.run("sql", "--json", "--limit", "3", statement) == 0
    assert command.out == '{"i":1}\n{"i":2}\n{"i":3}\n'
    assert "more than 3 rows" in command.err


def test_an_interruption_ends_it(store: Store) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "aigw", "sql", "--json", "--db", store.path,
         ENDLESS.replace("max(i)", "i") + " WHERE i < 3 OR i < 0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        # Twice nothing more to come, but SQLite goes on looking for it.
        process.send_signal(signal.SIGINT) if process.stdout.read(1) else None
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, told) == (130, b"")


def test_a_statement_from_stdin(store: Store) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aigw", "sql", "--json", "--db", store.path],
        input="SELECT 1 AS n;\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == '{"n":1}\n'


def test_the_views_are_listed(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    text = "\n".join(command.lines("sql"))
    for view in VIEWS:
        assert view.name in text
    listed = [json.loads(line) for line in command.lines("sql", "--json")]
    assert [found["view"] for found in listed] == [view.name for view in VIEWS]
    assert all(c.help for view in VIEWS for c in view.columns), "a column says nothing of itself"


def test_the_documented_columns_are_those_of_the_views() -> None:
    sections = re.split(r"^#{2,3} ", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = {}
    for section in sections:
        name, _, text = section.partition("\n")
        if name.startswith("v_"):
            documented[name] = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", text, re.MULTILINE)
    expected = {view.name: [(c.name, c.kind.value, c.help) for c in view.columns] for view in VIEWS}
    assert documented == expected


def test_the_columns_are_what_the_store_gives(store: Store, command: Command) -> None:
    """Each of its type, over records that have everything."""
    write_thread(store)
    store.whole(NOON + 9 * SECOND)
    fits: dict[str, tuple[type, ...]] = {
        "text": (str,), "json": (str,), "time": (str,), "integer": (int,), "real": (float,),
        "boolean": (int,),
    }  # fmt: skip
    for view in VIEWS:
        found = rows(command, f"SELECT * FROM {view.name}")
        assert found
        for row in found:
            assert list(row) == [column.name for column in view.columns]
            for column in view.columns:
                value = row[column.name]
                assert value is None or isinstance(value, fits[column.kind.value]), column
