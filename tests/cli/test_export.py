from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import jsonschema
import psutil
import pytest

from aigw.cli.csv_cells import cell
from aigw.export import schemas
from aigw.records import Record, RecordType, log_object, rfc3339
from aigw.store.filters import Filters
from aigw.store.queries import tail
from tests.cli.exporting import CALLS, FIRST, HOSTILE, SECOND_ID, write_thread
from tests.cli.reading import Command
from tests.store.rows import DAY, NOON, SECOND, Store, children, end, prompt, start

if TYPE_CHECKING:
    from collections.abc import Iterator

csv.field_size_limit(10_000_000)
HAR_SCHEMA = Path(__file__).parents[1] / "telemetry" / "har-1.2.schema.json"


def everything(store: Store) -> None:
    """Records of every type and status: hostile, large, old, unfinished."""
    store.whole(prompt="hello")
    store.whole(NOON + SECOND, prompt=HOSTILE, model=HOSTILE, client=HOSTILE, initiator_id=HOSTILE)
    store.whole(1, prompt="at the epoch")
    store.whole(-5 * DAY - 1, prompt="before it")
    store.whole(NOON + 2 * SECOND, prompt="x" * 3_000_000, client_session_id=None)
    big = (1 << 63) - 1
    key = store.start(NOON + 3 * SECOND)
    store.write(end(key, NOON + 4 * SECOND, input_tokens=big, cost_micros=big, status_code=None))
    store.start(NOON + 5 * SECOND)
    write_thread(store)


def records_of(store: Store, **filters: Any) -> list[dict[str, Any]]:
    return [log_object(record) for record in tail(store.connection, Filters(**filters), 0)]


def parquet(path: Path) -> list[dict[str, Any]]:
    with closing(duckdb.connect()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def as_text(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def interceptions_of(store: Store) -> list[dict[str, Any]]:
    store.connection.row_factory = None
    cursor = store.connection.execute("SELECT * FROM interceptions ORDER BY seq")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_jsonl_is_what_logs_print(store: Store, command: Command) -> None:
    everything(store)
    expected = command.lines("logs", "--json", "-n", "0")
    assert command.lines("export") == expected
    assert [json.loads(line) for line in expected] == records_of(store)


def test_a_file_has_the_same_and_is_the_owners(
    store: Store, command: Command, tmp_path: Path
) -> None:
    everything(store)
    target = tmp_path / "out" / "all.jsonl"
    target.parent.mkdir()
    assert command.lines("export", "-o", str(target)) == []
    lines = target.read_bytes().decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == records_of(store)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["all.jsonl"]


FILTERS = [
    ["--since", "2026-01-01T12:00:02Z"],
    ["--until", "2026-01-01T12:00:02Z"],
    ["--provider", "anth*"],
    ["--model", "claude-*"],
    ["--client", "codex"],
    ["--initiator", "nobody"],
    ["--session", "session-1"],
    ["--status", "failed"],
    ["--status", "running"],
    ["--interception", FIRST],
    ["-q", "list files"],
    ["-q", "thinkless"],
    ["--record-type", "prompt_usage", "--record-type", "tool_result"],
]


@pytest.mark.parametrize("words", FILTERS, ids=" ".join)
def test_filters_are_those_of_logs(store: Store, command: Command, words: list[str]) -> None:
    everything(store)
    store.index()
    assert command.lines("export", *words) == command.lines("logs", "--json", "-n", "0", *words)


@pytest.mark.parametrize("indexed", [False, True])
def test_interceptions_are_filtered_too(store: Store, command: Command, *, indexed: bool) -> None:
    everything(store)
    if indexed:
        store.index()

    def ids(*words: str) -> list[str]:
        lines = list(csv.DictReader(command.lines("export", "--format", "csv", *words)))
        return [line["id"] for line in lines]

    assert ids("-q", "list files") == [FIRST]
    # What a record of another type says selects its interception.
    assert ids("-q", "call_a of") == [SECOND_ID]
    assert ids("-q", "absent") == []
    assert ids("--status", "failed") == [SECOND_ID]
    assert ids("--interception", FIRST) == [FIRST]
    assert ids("--since", "2026-01-01T12:00:03Z", "--status", "failed") == [SECOND_ID]
    assert ids("--until", "1970-01-02", "-q", "epoch OR before") == []
    assert len(ids("--until", "1970-01-02")) == 2
    assert len(ids()) == len(interceptions_of(store))


def test_csv_has_a_row_an_interception(store: Store, command: Command) -> None:
    everything(store)
    assert command.run("export", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(command.out, newline="")))
    stored = interceptions_of(store)
    assert [row["id"] for row in rows] == [cell(found["id"]) for found in stored]
    for row, found in zip(rows, stored, strict=True):
        for name in ("model", "client", "initiator_id", "input_tokens", "status_code", "metadata"):
            assert row[name] == cell(found[name]), name
        assert row["started_at"] == rfc3339(found["started_at"])
        assert row["status"] == (found["status"] or "running")
        assert row["streaming"] == {None: "", 0: "false", 1: "true"}[found["streaming"]]
    last, before = rows[-1], rows[-2]
    assert (last["parent_id"], last["thread_id"]) == (FIRST, FIRST)
    assert (before["cost_usd"], before["tool_calls"], before["prompt"]) == (
        "1.0",
        "2",
        "list the files",
    )


def test_csv_of_a_type_has_its_records(store: Store, command: Command) -> None:
    everything(store)
    for kind in RecordType:
        assert command.run("export", "--format", "csv", "--record-type", kind.value) == 0
        rows = list(csv.DictReader(io.StringIO(command.out, newline="")))
        expected = records_of(store, types=frozenset({kind}))
        assert len(rows) == len(expected) > 0
        for row, record in zip(rows, expected, strict=True):
            for name, value in row.items():
                found = record[name]
                text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
                assert value == cell(text if isinstance(found, dict) else found), name


def test_no_cell_acts(store: Store, command: Command) -> None:
    evil = [*"=+-@", " =", "\t=", "\r\n=", "\uff1d", "\x1b[2J", "\u202e"]
    for number, begin in enumerate(evil):
        store.whole(NOON + number, prompt=f"{begin}cmd", model=f"{begin}m")
    for words in ([], ["--record-type", "prompt_usage"]):
        assert command.run("export", "--format", "csv", *words) == 0
        for row in csv.reader(io.StringIO(command.out, newline="")):
            for text in row:
                assert text.isprintable()
                assert not text.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))


def test_parquet_has_a_typed_row_an_interception(
    store: Store, command: Command, tmp_path: Path
) -> None:
    everything(store)
    target = tmp_path / "all.parquet"
    command.lines("export", "-o", str(target))
    rows, stored = parquet(target), interceptions_of(store)
    assert len(rows) == len(stored)
    for row, found in zip(rows, stored, strict=True):
        for name in (
            "id",
            "model",
            "client",
            "input_tokens",
            "cost_micros",
            "error_type",
            "metadata",
        ):
            assert row[name] == found[name], name
        assert as_text(row["started_at"]) == rfc3339(found["started_at"])
        assert row["streaming"] is (None if found["streaming"] is None else True)
    assert rows[0]["started_at"].tzinfo is not None


def test_parquet_of_a_type_has_its_records(store: Store, command: Command, tmp_path: Path) -> None:
    everything(store)
    for kind in RecordType:
        target = tmp_path / f"{kind.value}.parquet"
        command.lines("export", "-o", str(target), "--record-type", kind.value)
        rows = parquet(target)
        for row, record in zip(rows, records_of(store, types=frozenset({kind})), strict=True):
            for name, value in row.items():
                shown = as_text(value) if isinstance(value, datetime) else value
                expected = record[name]
                assert (json.loads(shown) if isinstance(expected, dict) else shown) == expected


def test_parquet_to_stdout_is_the_file(store: Store, tmp_path: Path) -> None:
    store.whole()
    target = tmp_path / "piped.parquet"
    with target.open("wb") as out:
        subprocess.run(
            [sys.executable, "-m", "aigw", "export", "--format", "parquet", "--db", store.path],
            stdout=out,
            check=True,
        )
    assert len(parquet(target)) == 1


def test_parquet_says_what_is_missing(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.whole()
    for name in list(sys.modules):
        if name.split(".")[0] == "arro3":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "arro3", None)
    assert command.run("export", "--format", "parquet") == 1
    assert "aigw[parquet]" in command.err
    assert command.out == ""


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "otlp-json", "har"])
def test_an_empty_store_gives_an_empty_file(
    store: Store, command: Command, tmp_path: Path, name: str
) -> None:
    del store
    target = tmp_path / "empty"
    command.lines("export", "--format", name, "-o", str(target))
    if name == "parquet":
        assert parquet(target) == []
    elif name == "har":
        assert json.loads(target.read_text())["log"]["entries"] == []
    else:
        assert len(target.read_text().splitlines()) == (1 if name == "csv" else 0)


def test_har_validates(store: Store, command: Command) -> None:
    everything(store)
    found = command.json("export", "--format", "har")
    jsonschema.validate(found, json.loads(HAR_SCHEMA.read_text()))
    entries = found["log"]["entries"]
    assert [entry["_aigw"]["id"] for entry in entries] == [r["id"] for r in interceptions_of(store)]
    last = entries[-1]
    assert last["request"]["url"] == "https://aigw.invalid/anthropic/v1/messages"
    assert (last["response"]["status"], last["response"]["_error"]) == (529, "try later")
    assert last["timings"] == {"send": 0, "wait": 300, "receive": 700}
    assert last["startedDateTime"] == "2026-01-01T12:00:03.000Z"
    assert last["_aigw"]["metadata"]["n"] == [1, None, "\u00e9"]


def test_existing_files_stay(store: Store, command: Command, tmp_path: Path) -> None:
    store.whole()
    target = tmp_path / "there.jsonl"
    target.write_text("mine")
    assert command.run("export", "-o", str(target)) == 1
    assert "--force" in command.err
    assert target.read_text() == "mine"
    command.lines("export", "-o", str(target), "--force")
    assert len(target.read_text().splitlines()) == 7
    assert command.run("export", "-o", str(tmp_path), "--force") == 1
    assert command.run("export", "-o", str(tmp_path / "no" / "folder")) == 1
    assert "cannot write" in command.err


@pytest.mark.parametrize("name", ["aigw.db", "aigw.db-wal", "link.db", "hard.db"])
def test_the_database_is_no_place_for_it(
    store: Store, command: Command, tmp_path: Path, name: str
) -> None:
    store.whole()
    (tmp_path / "link.db").symlink_to(store.path)
    (tmp_path / "hard.db").hardlink_to(store.path)
    target = tmp_path / name
    assert command.run("export", "-o", str(target), "--force") == 1
    assert "the database itself" in command.err
    assert command.lines("export")


def test_no_name_is_no_file(store: Store, command: Command) -> None:
    del store
    for words in (("export", "-o", ""), ("backup", ""), ("backup", "/")):
        assert command.run(*words) == 2
        assert "names no file" in command.err


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "xml"],
        ["--format", "har", "--record-type", "prompt_usage"],
        ["--format", "csv", "--record-type", "prompt_usage", "--record-type", "tool_usage"],
        ["--status", "lost"],
        ["--since", "soon"],
        ["prompt_usage"],
        ["--schema", "nothing"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told(command: Command, words: list[str]) -> None:
    assert command.run("export", *words) == 2
    assert command.err.startswith("Error: ")


def rows_written(
    store: Store, count: int, text: str = "some prompt", *, incompressible: bool = False
) -> None:
    for first in range(0, count, 500):
        records: list[Record] = []
        for number in range(first, min(first + 500, count)):
            key, at = f"id-{number:06}", NOON + number
            said = os.urandom(300).hex() if incompressible else text
            records += [start(key, at), *children(key, at, said), end(key, at)]
        store.write(*records)


INTERRUPTED = """
import os, signal, sys
from contextlib import contextmanager
from aigw.cli import progress
from aigw.cli.main import main
@contextmanager
def bar(label, shown=True):
    def tell(part):
        assert os.listdir(sys.argv[1])
        os.kill(os.getpid(), signal.SIGINT)
    yield tell
progress.progress_bar = bar
sys.exit(main(sys.argv[2:]))
"""
"""As Ctrl-C after the first piece is written."""


def test_an_interruption_leaves_nothing(store: Store, tmp_path: Path) -> None:
    rows_written(store, 3_000)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["export", "-o", folder / "x.jsonl", "--db", store.path]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, folder, *words], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")
    assert list(folder.iterdir()) == []


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from aigw.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "otlp-json", "har"])
def test_a_full_disk_leaves_nothing(store: Store, tmp_path: Path, name: str) -> None:
    rows_written(store, 300, incompressible=True)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["export", "--format", name, "-o", str(folder / "x"), "--db", str(store.path)]
    if name == "parquet":
        words += ["--record-type", "prompt_usage"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot write ")
    assert len(done.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "otlp-json", "har"])
def test_a_closed_pipe_ends_it_in_silence(store: Store, name: str) -> None:
    rows_written(store, 300)
    process = subprocess.Popen(
        [sys.executable, "-m", "aigw", "export", "--format", name, "--db", store.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    assert (process.wait(timeout=60), told) == (141, b"")
    process.stderr.close()


def peak_memory(store: Store, *words: str) -> int:
    """The most memory that an export takes, in KiB."""
    # Not ru_maxrss: Linux counts in what the process that started this one had.
    script = (
        "from aigw.cli.main import main;"
        f"assert main({['export', *words, '--db', str(store.path)]!r}) == 0;"
        "print(next(x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@on_linux
def test_memory_stays_the_same(store: Store, tmp_path: Path) -> None:
    """Forty megabytes of prompts go through without being held."""
    text = "a prompt of some length " * 80
    rows_written(store, 20_000 // 4, text)
    peaks = []
    for until in ("2026-01-01T12:00:00.000100Z", "2026-01-02"):
        words = ("--until", until, "-o", str(tmp_path / f"{until}.jsonl"))
        peaks.append(peak_memory(store, *words))
    assert peaks[1] - peaks[0] < 30 * 1024, peaks


@on_linux
@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "otlp-json"])
def test_long_prompts_are_not_held(store: Store, tmp_path: Path, name: str) -> None:
    """A hundred megabytes of prompts of a megabyte each: a few of them are in memory."""
    text = "word " * 200_000
    for number in range(100):
        key = f"i-{number:03}"
        store.write(start(key, NOON), prompt(key, text), end(key, NOON + 1))
    types = () if name in {"jsonl", "otlp-json"} else ("--record-type", "prompt_usage")
    words = ("--format", name, *types, "-o", str(tmp_path / "out"))
    assert peak_memory(store, *words) < 200 * 1024
    assert (tmp_path / "out").stat().st_size > 1000


def test_readings_are_short(store: Store) -> None:
    """A reader of the export that stands still holds no view of the database."""
    rows_written(store, 3_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "aigw", "export", "--db", store.path], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.read(1)
        reader = psutil.Process(process.pid)
        # It has filled the pipe and waits for us.
        while reader.status() != psutil.STATUS_SLEEPING:
            assert process.poll() is None
        store.whole()
        done = store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert done[0] == 0, "the export holds the log"
    finally:
        process.kill()
        process.communicate()


def test_schemas_are_in_step() -> None:
    assert {path.name for path in schemas.FOLDER.iterdir()} == set(schemas.files())
    for name, text in schemas.files().items():
        assert (schemas.FOLDER / name).read_text(encoding="utf-8") == text, (
            "run: python -m aigw.export.schemas"
        )


def test_every_record_validates(store: Store, command: Command) -> None:
    everything(store)
    lines = [json.loads(line) for line in command.lines("export")]
    whole = validator(command.json("export", "--schema"))
    by_type = {kind.value: command.json("export", "--schema", kind.value) for kind in RecordType}
    seen = set()
    for line in lines:
        whole.validate(line)
        found = by_type[line["record_type"]]
        assert set(line) == set(found["properties"])
        strict = {**found, "additionalProperties": False, "required": list(found["properties"])}
        validator(strict).validate(line)
        seen.add(line["record_type"])
    assert seen == {kind.value for kind in RecordType}


def test_schemas_refuse_what_is_no_record(store: Store, command: Command) -> None:
    store.whole()
    whole = validator(command.json("export", "--schema"))
    line = next(found for found in records_of(store) if found["record_type"] == "token_usage")
    whole.validate(line)
    for change in (
        {"input_tokens": "3"},
        {"created_at": "noon"},
        {"cost_basis": "guess"},
        {"level": 1},
    ):
        assert not whole.is_valid({**line, **change})
    assert not whole.is_valid({key: value for key, value in line.items() if key != "msg_id"})


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "v1" in schema["$id"]
    return jsonschema.Draft202012Validator(schema)


def spans_of(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        (resource,) = json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}


def test_otlp_is_the_tree(store: Store, command: Command) -> None:
    write_thread(store)
    lines = command.lines("export", "--format", "otlp-json")
    assert command.lines("export", "--format", "otlp-json") == lines
    spans = list(spans_of(lines))
    thread, first, *tools, second = spans
    assert [span["name"] for span in spans] == [
        "invoke_agent Claude Code",
        "chat claude-opus-4-5",
        "execute_tool Bash",
        "execute_tool Bash",
        "chat claude-opus-4-5",
    ]
    assert {span["traceId"] for span in spans} == {FIRST.replace("-", "")}
    assert "parentSpanId" not in thread
    assert first["parentSpanId"] == second["parentSpanId"] == thread["spanId"]
    assert {tool["parentSpanId"] for tool in tools} == {first["spanId"]}
    assert len({span["spanId"] for span in spans}) == len(spans)
    assert thread["endTimeUnixNano"] == second["endTimeUnixNano"] == str((NOON + 4 * SECOND) * 1000)
    assert tools[0]["endTimeUnixNano"] == str((NOON + 3 * SECOND) * 1000)
    shown = [attributes(tool) for tool in tools]
    assert [found["gen_ai.tool.call.result"] for found in shown] == [f"of {c}" for c in CALLS]
    assert ["status" in tool for tool in tools] == [False, True]
    assert second["status"] == {"code": 2, "message": "try later"}
    failed, asked = attributes(second), attributes(first)
    assert failed["error.type"] == "overloaded_error"
    assert asked["gen_ai.usage.input_tokens"] == "80"
    assert asked["gen_ai.conversation.id"] == "session-1"
    assert asked["aigw.cost_usd"] == 1.0
    assert json.loads(asked["gen_ai.input.messages"])[0]["parts"][0]["content"] == "list the files"


def test_otlp_is_the_protocols(store: Store, command: Command) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    everything(store)
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    for line in command.lines("export", "--format", "otlp-json"):
        ParseDict(_with_base64_ids(json.loads(line)), TracesData())
    for span in spans_of(command.lines("export", "--format", "otlp-json")):
        assert len(bytes.fromhex(span["traceId"])) == 16
        assert len(bytes.fromhex(span["spanId"])) == 8
        names = {pair["key"] for pair in span["attributes"]}
        assert {name for name in names if name.startswith("gen_ai.")} <= known


def _with_base64_ids(found: Any) -> Any:
    """Protobuf's own JSON has bytes as base64, where OTLP's has hexadecimal ids."""
    from base64 import b64encode

    if isinstance(found, list):
        return [_with_base64_ids(part) for part in found]
    if not isinstance(found, dict):
        return found
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        key: b64encode(bytes.fromhex(value)).decode() if key in ids else _with_base64_ids(value)
        for key, value in found.items()
    }


def test_otlp_goes_on_when_the_beginning_was_pruned(store: Store, command: Command) -> None:
    write_thread(store)
    store.connection.execute("DELETE FROM interceptions WHERE id = ?", (FIRST,))
    (span,) = spans_of(command.lines("export", "--format", "otlp-json"))
    assert len(bytes.fromhex(span["traceId"])) == 16
