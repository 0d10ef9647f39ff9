"""Log lines for people and for machines, written by a thread of their own.

Whoever logs only puts a line into a bounded queue: a terminal that is not read, or a full disk
behind `--log-json`, delays neither requests nor commits. What does not fit is counted and said.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec

from aigw.errors import ConfigError
from aigw.records import LOG_MESSAGE, Record, log_object, rfc3339

QUEUED_LINES = 20_000
"""Lines that may wait for a slow log: a few MB, some seconds of the busiest gateway."""

_interceptions = logging.getLogger("aigw.interceptions")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; an interception's record keeps its own form."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a log record."""
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        if fields is None:
            fields = {
                "time": rfc3339(int(record.created * 1_000_000)),
                "level": record.levelname.lower(),
                "message": record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info:
                fields["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


class HumanFormatter(logging.Formatter):
    """A line for people: time, level, message, then the fields of a record as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a log record, free of control characters; a traceback's lines follow it."""
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        if fields is None:
            text = f"{record.name}: {record.getMessage()}"
            when = rfc3339(int(record.created * 1_000_000))
            lines = [_line(when, record.levelname.lower(), text)]
            if record.exc_info:
                lines += map(_harmless, self.formatException(record.exc_info).split("\n"))
            return "\n".join(lines)
        rest = " ".join(
            f"{name}={msgspec.json.encode(value).decode()}"
            for name, value in fields.items()
            if name not in {"time", "level", "message"}
        )
        return _line(fields["time"], fields["level"], f"{fields['message']} {rest}")


# Log text may quote what strangers sent: a terminal must not obey it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _line(when: str, level: str, text: str) -> str:
    return f"{when} [{level}] {_harmless(text)}"


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


class _Queueing(logging.handlers.QueueHandler):
    """Hands lines to the writing thread, or counts them when it cannot keep up."""

    def __init__(self, lines: queue.Queue[Any]) -> None:
        super().__init__(lines)
        self.lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The standard method formats and drops exc_info for pickling; a thread needs neither.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.lost += 1
            return
        if self.lost:
            lost, self.lost = self.lost, 0
            logging.getLogger("aigw.log").error("%d log lines were lost: the log is too slow", lost)


class _Listener(logging.handlers.QueueListener):
    """The writing thread, whose end waits for its turn where the queue is full."""

    def enqueue_sentinel(self) -> None:
        self.queue.put(self._sentinel)  # type: ignore[attr-defined]  # the typeshed leaves it out


class _LogFile(logging.handlers.WatchedFileHandler):
    """Notices when a log rotation moved the file away, and begins a new one."""

    def _open(self) -> TextIOWrapper:
        # Lines hold prompts: nobody else may read them, in a file begun after a rotation either.
        return open(
            self.baseFilename,
            "a",
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )


class Logs:
    """The daemon's log outputs. `open` starts them, `close` writes what waits and ends them."""

    def __init__(self, human: str, json: str, debug_filter: str) -> None:
        self._human = human
        self._json = json
        self._filter = debug_filter
        self._listener: logging.handlers.QueueListener | None = None

    def open(self) -> None:
        """Start writing.

        Raises:
            ConfigError: a file cannot be written.
        """
        handlers: list[logging.Handler] = []
        for target, formatter in ((self._human, HumanFormatter()), (self._json, JsonFormatter())):
            if target:
                handler = _handler(target)
                handler.setFormatter(formatter)
                handlers.append(handler)
        lines: queue.Queue[Any] = queue.Queue(QUEUED_LINES)
        handler = _Queueing(lines)
        handler.addFilter(_debug_filter(self._filter))
        # A line that cannot be written is lost; a traceback beside the log would help nobody.
        logging.raiseExceptions = False
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(logging.DEBUG if self._filter else logging.INFO)
        self._listener = _Listener(lines, *handlers)
        self._listener.start()

    def close(self) -> None:
        """Write what waits and stop."""
        if self._listener is not None:
            self._listener.stop()
            for handler in self._listener.handlers:
                handler.close()
            self._listener = None


def _debug_filter(pattern: str) -> Any:
    wanted = re.compile(pattern) if pattern else None

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno > logging.DEBUG:
            return True
        return wanted is not None and bool(wanted.search(f"{record.name}: {record.getMessage()}"))

    return keep


def _handler(target: str) -> logging.Handler:
    if target == "/dev/stderr":
        return logging.StreamHandler(sys.stderr)
    if target == "/dev/stdout":
        return logging.StreamHandler(sys.stdout)
    path = Path(target).expanduser()
    try:
        return _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"cannot write the log {target}: {error.strerror}") from error


def log_records(records: Sequence[Record]) -> None:
    """Log each record: the structured logging of `--aibridge-structured-logging`."""
    for record in records:
        _interceptions.info(LOG_MESSAGE, extra={"fields": log_object(record)})
