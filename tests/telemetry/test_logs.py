"""Log lines: their two forms, and a log that cannot keep up."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigw.errors import ConfigError
from aigw.records import Record, log_object
from aigw.telemetry import logs as logs_module
from aigw.telemetry.logs import HumanFormatter, JsonFormatter, Logs, log_records
from tests.store.rows import NOON, children, end, prompt, start

EVERY: list[Record] = [start("i"), *children("i", NOON, "hello"), end("i", NOON)]
HOSTILE = "red \x1b[31m bell \x07 line\nfeed \r null \x00 C1 \x9b2J delete \x7f"

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file modes and renames")


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("aigw.x", logging.ERROR, "", 1, message, args, exc_info)  # type: ignore[arg-type]


def raised(message: str) -> logging.LogRecord:
    try:
        int(message)
    except ValueError:
        return record("failed: %s", message, exc_info=sys.exc_info())
    raise AssertionError


def has_control_characters(line: str) -> bool:
    return any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in line)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: type(one).__name__)
def test_a_records_json_line_is_its_json_form(tmp_path: Path, one: Record) -> None:
    path = tmp_path / "log.json"
    logs = Logs("", str(path), "")
    logs.open()
    log_records([one])
    logs.close()
    (line,) = lines(path)
    assert json.loads(line) == log_object(one)
    assert list(json.loads(line)) == list(log_object(one))


def test_other_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    logs = Logs("", str(path), "")
    logs.open()
    logging.getLogger("aigw.store").warning("it took %d ms\nand a %s", 7, HOSTILE)
    logging.getLogger("aigw.store").error("failed", exc_info=ValueError("why"))
    logs.close()
    first, second = (json.loads(line) for line in lines(path))
    assert list(first) == ["time", "level", "message", "logger"]
    assert first["level"] == "warning"
    assert first["message"] == f"it took 7 ms\nand a {HOSTILE}"
    assert first["logger"] == "aigw.store"
    assert "ValueError: why" in second["error"]
    assert not any(ord(letter) < 0x20 for line in lines(path) for letter in line)


def test_human_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = Logs(str(path), "", "")
    logs.open()
    log_records([prompt("i", "hello", NOON)])
    logging.getLogger("aigw.store").warning("slow")
    logs.close()
    first, second = lines(path)
    assert first.startswith("2026-01-01T12:00:00.000000Z [info] interception log ")
    assert 'record_type="prompt_usage"' in first
    assert 'prompt="hello"' in first
    assert second.endswith(" [warning] aigw.store: slow")


@pytest.mark.parametrize(
    "made",
    [
        record("quoted %s", HOSTILE),
        record(HOSTILE),
        raised(HOSTILE),
    ],
    ids=["argument", "message", "exception"],
)
def test_a_terminal_obeys_no_log_line(made: logging.LogRecord) -> None:
    text = HumanFormatter().format(made)
    # A traceback has lines of its own; its text has no more say than any other.
    assert not any(has_control_characters(line) for line in text.split("\n"))
    if made.exc_info is None:
        assert "\n" not in text
    assert "\\x1b[31m" in text


def test_a_record_cannot_break_its_human_line() -> None:
    made = record("interception log")
    made.fields = log_object(prompt("i", HOSTILE))
    text = HumanFormatter().format(made)
    assert not has_control_characters(text)


def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = Logs(str(path), str(tmp_path / "log.json"), "")
    logs.open()
    logging.getLogger("aigw").error("half \ud800")
    logging.getLogger("aigw").error("next")
    logs.close()
    assert lines(path)[-1].endswith("next")
    assert json.loads(lines(tmp_path / "log.json")[-1])["message"] == "next"


class Blocked(io.StringIO):
    """A stream whose reader does not read until released."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.released.wait(30)
        return super().write(text)


def test_a_blocked_reader_loses_lines_and_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Blocked()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logs_module, "QUEUED_LINES", 10)
    logs = Logs("/dev/stderr", "", "")
    logs.open()
    log = logging.getLogger("aigw.test")
    log.info("line 0")
    assert stream.reached.wait(30)
    # The writing thread hangs in `write`; a hundred more lines return all the same.
    for number in range(1, 101):
        log.info("line %d", number)
    stream.released.set()
    queue = logging.getLogger().handlers[0].queue  # type: ignore[attr-defined]
    for _ in range(3000):
        if queue.empty():
            break
        threading.Event().wait(0.01)
    log.info("the last line")
    logs.close()
    written = stream.getvalue().splitlines()
    assert [line.rpartition(": ")[2] for line in written[:11]] == [f"line {n}" for n in range(11)]
    assert "the last line" in written[11]
    assert "90 log lines were lost" in written[12]
    assert len(written) == 13


def test_a_full_queue_does_not_hinder_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Blocked()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logs_module, "QUEUED_LINES", 3)
    logs = Logs("/dev/stderr", "", "")
    logs.open()
    log = logging.getLogger("aigw.test")
    log.info("line")
    assert stream.reached.wait(30)
    for _ in range(10):
        log.info("line")
    closing = threading.Thread(target=logs.close)
    closing.start()
    stream.released.set()
    closing.join(30)
    assert not closing.is_alive()
    assert len(stream.getvalue().splitlines()) == 4


@posix
def test_files_are_their_owners_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        logs = Logs(str(tmp_path / "human"), str(tmp_path / "json"), "")
        logs.open()
        logging.getLogger("aigw").info("one")
        logs.close()
    finally:
        os.umask(before)
    for name in ("human", "json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@posix
def test_a_rotated_file_is_left_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    before = os.umask(0)
    try:
        logs = Logs("", str(path), "")
        logs.open()
        log = logging.getLogger("aigw")
        log.info("before")
        _until_written(path, 1)
        path.rename(tmp_path / "log.json.1")
        log.info("after")
        logs.close()
    finally:
        os.umask(before)
    assert [json.loads(line)["message"] for line in lines(tmp_path / "log.json.1")] == ["before"]
    assert [json.loads(line)["message"] for line in lines(path)] == ["after"]
    # The new one holds prompts as the old one did.
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _until_written(path: Path, count: int) -> None:
    for _ in range(3000):
        if path.exists() and len(lines(path)) >= count:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} did not get {count} lines")


def test_a_log_goes_on_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for message in ("first", "second"):
        logs = Logs(str(path), "", "")
        logs.open()
        logging.getLogger("aigw").info(message)
        logs.close()
    assert [line.rpartition(": ")[2] for line in lines(path)] == ["first", "second"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("", ["info"]),
        (".*", ["one", "two", "info"]),
        ("store: one", ["one", "info"]),
        ("^aigw\\.recorder", ["two", "info"]),
        ("nothing", ["info"]),
    ],
)
def test_the_debug_filter(tmp_path: Path, pattern: str, kept: list[str]) -> None:
    path = tmp_path / "log"
    logs = Logs("", str(path), pattern)
    logs.open()
    logging.getLogger("aigw.store").debug("one")
    logging.getLogger("aigw.recorder").debug("two")
    logging.getLogger("aigw.store").info("info")
    logs.close()
    assert [json.loads(line)["message"] for line in lines(path)] == kept


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the log"):
        Logs("", str(tmp_path / "file" / "log"), "").open()
    with pytest.raises(ConfigError, match="cannot write the log"):
        Logs(str(tmp_path), "", "").open()


def test_closing_twice_or_without_opening(tmp_path: Path) -> None:
    logs = Logs(str(tmp_path / "log"), "", "")
    logs.close()
    logs.open()
    logs.close()
    logs.close()


def test_the_formats_agree_on_a_traceback() -> None:
    made = raised("why")
    assert "ValueError: invalid literal" in json.loads(JsonFormatter().format(made))["error"]
    assert "ValueError: invalid literal" in HumanFormatter().format(made)
