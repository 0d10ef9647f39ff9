"""Dumps of exchanges: what is written, within which bounds, and that a bad disk costs dumps only."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw import clock
from aigw.errors import ConfigError
from aigw.gateway import dump as dump_module
from aigw.gateway import dump_thread
from aigw.gateway.dump import Dump, Dumper
from aigw.providers.call import Call
from tests.telemetry.har import entries_of

ROOT = Path(__file__).parents[2]
KEY = "sk-canary-0f5d1c77aa09"
URL = "https://api.openai.com/v1/chat/completions"
WEEK = timedelta(days=7)
GIB = 1 << 30
JSON: CIMultiDict[str] = CIMultiDict({"Content-Type": "application/json"})


def call(body: bytes = b"{}", key: str = KEY, url: str = URL) -> Call:
    headers = CIMultiDict({"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    return Call("POST", url, headers, body)


def run(dump: Dump, body: bytes = b"{}", *chunks: bytes) -> None:
    dump.attempt(call(body))
    dump.head(200, "OK", JSON)
    for chunk in chunks:
        dump.data(chunk)
    dump.finish()


def dumps(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.har"))


def entries(path: Path) -> list[dict[str, Any]]:
    return entries_of(path.read_bytes())


@pytest.fixture
async def dumper(tmp_path: Path) -> AsyncIterator[Dumper]:
    made = Dumper(tmp_path, WEEK, GIB)
    made.open()
    yield made
    await made.close()


@contextmanager
def slow_disk(dumper: Dumper) -> Iterator[None]:
    """The thread that writes is held up meanwhile."""
    stopped, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        stopped.set()
        go_on.wait(30)

    dumper._thread.call(wait)
    assert stopped.wait(30)
    try:
        yield
    finally:
        go_on.set()


async def test_an_interception(dumper: Dumper, tmp_path: Path) -> None:
    before = clock.now() // 1000
    dump = dumper.begin("openai", "vendor/gpt-5", "0190-ab", "/v1/chat/completions")
    run(dump, b'{"model":"gpt-5"}', b'{"a":', b"1}")
    await dumper.flush()
    [path] = dumps(tmp_path)
    assert path.parent == tmp_path / "openai" / "vendor-gpt-5"
    milliseconds, _, rest = path.name.partition("-")
    assert rest == "0190-ab.har"
    assert before <= int(milliseconds) <= clock.now() // 1000
    [entry] = entries(path)
    assert entry["request"]["postData"]["text"] == '{"model":"gpt-5"}'
    assert entry["response"]["content"]["text"] == '{"a":1}'
    assert entry["_interception_id"] == "0190-ab"
    assert KEY not in path.read_text()


async def test_what_is_passed_through(dumper: Dumper, tmp_path: Path) -> None:
    run(dumper.begin("openai", "", None, "/v1/models"))
    await dumper.flush()
    [path] = dumps(tmp_path)
    assert path.parent == tmp_path / "openai" / "passthrough"
    assert "-v1-models-" in path.name


async def test_attempts_of_a_failover(
    dumper: Dumper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_module, "_TAKEN_AT_ONCE", 0)
    body = b"b" * 1000
    dump = dumper.begin("openai", "gpt-5", "id", "")
    first = call(body)
    dump.attempt(first)
    first.headers["Authorization"] = "Bearer sk-changed-afterwards-in-place"
    dump.head(429, "Too Many Requests", JSON)
    dump.data(b"slow down")
    dump.attempt(call(body, "sk-canary-second-key-11"))
    dump.failed("the connection was refused")
    dump.attempt(call(b"other body", "sk-canary-third-key-222"))
    dump.head(200, "OK", JSON)
    dump.data(b"yes, sk-canary-second-key-11")
    dump.finish()
    held = dumper._held
    await dumper.flush()
    made = entries(dumps(tmp_path)[0])
    assert [entry["response"]["status"] for entry in made] == [429, 0, 200]
    assert made[0]["response"]["content"]["text"] == "slow down"
    assert made[1]["response"]["_error"] == "the connection was refused"
    assert made[2]["response"]["content"]["text"] == "yes, sk-c...y-11"
    assert [entry["request"]["headers"][0]["value"][-4:] for entry in made] == [
        "aa09",
        "y-11",
        "-222",
    ]
    assert [entry["request"]["bodySize"] for entry in made] == [1000, 1000, 10]
    # The body that was sent twice is held once.
    assert held < 1500


async def test_times(dumper: Dumper, tmp_path: Path) -> None:
    dump = dumper.begin("p", "m", "id", "")
    dump.attempt(call())
    await asyncio.sleep(0.03)
    dump.head(200, "OK", JSON)
    await asyncio.sleep(0.05)
    dump.finish()
    await dumper.flush()
    [entry] = entries(dumps(tmp_path)[0])
    assert 25 < entry["timings"]["wait"] < 10_000
    assert 45 < entry["timings"]["receive"] < 10_000


async def test_without_an_attempt_nothing_is_written(dumper: Dumper, tmp_path: Path) -> None:
    dump = dumper.begin("p", "m", "id", "")
    dump.head(200, "OK", JSON)
    dump.data(b"x")
    dump.failed("x")
    dump.finish()
    await dumper.flush()
    assert dumps(tmp_path) == []


async def test_finishing_twice_is_harmless(dumper: Dumper, tmp_path: Path) -> None:
    dump = dumper.begin("p", "m", "id", "")
    run(dump)
    dump.data(b"late")
    dump.finish()
    await dumper.flush()
    assert len(dumps(tmp_path)) == 1


async def test_escapes(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c" / "dumps"
    dumper = Dumper(folder, WEEK, GIB)
    dumper.open()
    run(dumper.begin("..", "../../..", "../../../x", ""))
    run(dumper.begin("/etc", "..\\..", None, "/../../../../etc/passwd"))
    await dumper.close()
    assert len(dumps(folder)) == 2
    assert len(dumps(tmp_path)) == 2
    assert dumper.lost == 0


# Bounds


async def test_long_bodies_are_cut(
    dumper: Dumper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_module, "BODY_BYTES", 1000)
    run(dumper.begin("p", "m", "id", ""), b"q" * 1500, b"a" * 600, b"b" * 600, b"c" * 600)
    await dumper.flush()
    [entry] = entries(dumps(tmp_path)[0])
    sent, content = entry["request"]["postData"], entry["response"]["content"]
    assert sent["text"] == "q" * 1000
    assert sent["comment"] == "truncated: the first 1000 of 1500 bytes are kept"
    assert entry["request"]["bodySize"] == 1500
    # From the first byte that is missing on nothing is kept: there are no gaps.
    assert content["text"].startswith("a" * 600 + "b" * 200)
    assert "c" not in content["text"]
    assert 800 <= len(content["text"]) <= 1000
    assert content["comment"].endswith("of 1800 bytes are kept")
    assert entry["response"]["bodySize"] == 1800


async def test_many_small_chunks_are_bounded_by_the_memory_they_take(
    dumper: Dumper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_module, "BODY_BYTES", 64_000)
    dump = dumper.begin("p", "m", "id", "")
    dump.attempt(call())
    dump.head(200, "OK", JSON)
    for _ in range(10_000):
        dump.data(b"x")
    assert dump._current is not None
    assert len(dump._current.response_body.chunks) <= 1000
    assert dump._current.response_body.size == 10_000
    dump.finish()


@given(
    st.lists(st.integers(0, 300), max_size=60),
    st.integers(0, 200),
    st.integers(500, 3000),
    st.integers(500, 3000),
)
def test_what_is_kept_is_a_beginning_within_the_bounds(
    sizes: list[int], ahead: int, body_bytes: int, total_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dump_module, "_TAKEN_AT_ONCE", ahead)
        patch.setattr(dump_module, "BODY_BYTES", body_bytes)
        patch.setattr(dump_module, "TOTAL_BYTES", total_bytes)
        dumper = Dumper(Path("unused"), WEEK, GIB)
        dump = dumper.begin("p", "m", "id", "")
        dump.attempt(call(b"q" * 100))
        dump.head(200, "OK", JSON)
        sent = b""
        for number, size in enumerate(sizes):
            sent += bytes([number]) * size
            dump.data(bytes([number]) * size)
        assert dump._current is not None
        body = dump._current.response_body
        kept = b"".join(body.chunks)
        assert sent.startswith(kept)
        assert body.size == len(sent)
        assert body.is_cut or kept == sent
        assert len(kept) + 64 * len(body.chunks) <= body_bytes + 64
        assert dump._cost == dumper._held <= total_bytes
        # What fits in any case is not cut.
        if len(sent) + 64 * len(sizes) <= min(body_bytes, total_bytes - 100 - ahead):
            assert not body.is_cut


async def test_all_dumps_together_are_bounded(
    dumper: Dumper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_module, "TOTAL_BYTES", 10_000)
    monkeypatch.setattr(dump_module, "_TAKEN_AT_ONCE", 0)
    with slow_disk(dumper):
        for number in range(8):
            run(dumper.begin("p", "m", str(number), ""), b"q" * 1000, b"a" * 1000)
        assert dumper._held <= 10_000
    await dumper.flush()
    made = [entries(path)[0] for path in dumps(tmp_path)]
    assert len(made) == 8
    whole = [entry for entry in made if "comment" not in entry["response"]["content"]]
    assert len(whole) == 4
    assert all(entry["response"]["bodySize"] == 1000 for entry in made)
    # And what was held is free again.
    run(dumper.begin("p", "m", "later", ""), b"q" * 1000, b"a" * 8000)
    await dumper.flush()
    assert "comment" not in entries(dumps(tmp_path)[-1])[0]["response"]["content"]
    assert dumper._held == dumper._thread.freed


async def test_a_slow_disk_costs_dumps_not_the_relay(
    dumper: Dumper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(dump_module, "WAITING_DUMPS", 5)
    with slow_disk(dumper):
        for number in range(20):
            run(dumper.begin("p", "m", str(number), ""))
    await dumper.flush()
    assert len(dumps(tmp_path)) == 5
    assert dumper.lost == 15
    assert dumper._held == dumper._thread.freed
    [line] = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert "too slow" in line
    assert str(tmp_path) in line


async def test_a_folder_in_the_way_costs_its_dumps_only(
    dumper: Dumper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "openai").write_text("a file")
    for number in range(10):
        run(dumper.begin("openai", "m", str(number), ""))
    run(dumper.begin("anthropic", "m", "x", ""))
    await dumper.flush()
    assert len(dumps(tmp_path)) == 1
    assert dumper.lost == 10
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


async def test_a_fault_in_the_document_ends_nothing_and_tells_nothing(
    dumper: Dumper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def faulty(*_: object) -> bytes:
        raise ValueError(KEY)

    with monkeypatch.context() as patch:
        patch.setattr(dump_thread, "document", faulty)
        run(dumper.begin("p", "m", "1", ""))
        await dumper.flush()
    run(dumper.begin("p", "m", "2", ""))
    await dumper.flush()
    assert len(dumps(tmp_path)) == 1
    assert "ValueError" in caplog.text
    assert KEY not in caplog.text


async def test_the_folder_comes_back_when_it_was_removed(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "dumps"
    dumper = Dumper(folder, WEEK, GIB)
    dumper.open()
    await dumper.flush()
    folder.rmdir()
    run(dumper.begin("p", "m", "x", ""))
    await dumper.close()
    assert len(dumps(folder)) == 1


# Retention


def old_dump(folder: Path, name: str, age: timedelta, size: int = 100) -> Path:
    path = folder / "p" / "m" / f"1700000000000-{name}.har"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    at = clock.now() / 1e6 - age.total_seconds()
    os.utime(path, (at, at))
    return path


async def test_old_dumps_go_at_the_start(tmp_path: Path) -> None:
    old = old_dump(tmp_path, "old", timedelta(days=8))
    young = old_dump(tmp_path, "young", timedelta(days=6))
    dumper = Dumper(tmp_path, WEEK, GIB)
    dumper.open()
    await dumper.flush()
    assert not old.exists()
    assert young.exists()
    await dumper.close()


async def test_dumps_are_bounded_in_bytes_as_they_are_written(tmp_path: Path) -> None:
    old = old_dump(tmp_path, "old", timedelta(days=1), 50_000)
    dumper = Dumper(tmp_path, WEEK, 100_000)
    dumper.open()
    for number in range(60):
        run(dumper.begin("p", "m", f"{number:02}", ""), b"q" * 5000)
        await dumper.flush()
        assert sum(path.stat().st_size for path in dumps(tmp_path)) <= 100_000
    assert not old.exists()
    # The newest are those that are left.
    left = [path.name.rpartition("-")[2] for path in dumps(tmp_path)]
    assert left == [f"{number:02}.har" for number in range(60 - len(left), 60)]
    assert len(left) >= 10
    await dumper.close()


async def test_bounds_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_thread, "UPKEEP_SECONDS", 0.0)
    young = old_dump(tmp_path, "young", timedelta(days=1))
    dumper = Dumper(tmp_path, WEEK, GIB)
    dumper.open()
    await dumper.flush()
    assert young.exists()
    dumper.retain(timedelta(hours=1), GIB)
    await dumper.flush()
    await dumper.flush()
    assert not young.exists()
    await dumper.close()


# Start and end


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_a_config_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError) as caught:
        Dumper(tmp_path / where, WEEK, GIB).open()
    assert str(tmp_path / where) in str(caught.value)
    assert "--aibridge-dump-dir" in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that not even root can fill")
def test_a_read_only_folder_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"in /proc/\d+/fdinfo"):
        Dumper(Path("/proc/self/fdinfo"), WEEK, GIB).open()


@pytest.mark.skipif(os.name == "nt", reason="symlinks")
async def test_the_operators_own_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "dumps").symlink_to(tmp_path / "big-disk")
    dumper = Dumper(tmp_path / "dumps", WEEK, GIB)
    dumper.open()
    run(dumper.begin("p", "m", "x", ""))
    await dumper.close()
    assert len(dumps(tmp_path / "big-disk")) == 1


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    dumper = Dumper(tmp_path, WEEK, GIB)
    dumper.open()
    for number in range(50):
        run(dumper.begin("p", "m", str(number), ""))
    await dumper.close()
    assert len(dumps(tmp_path)) == 50
    run(dumper.begin("p", "m", "late", ""))
    await dumper.close()
    assert len(dumps(tmp_path)) == 50


async def test_a_hanging_disk_does_not_keep_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dump_module, "CLOSE_SECONDS", 0.05)
    dumper = Dumper(tmp_path, WEEK, GIB)
    dumper.open()
    with slow_disk(dumper):
        run(dumper.begin("p", "m", "x", ""))
        await dumper.close()
    assert "1 HAR dumps" in caplog.text
    dumper._thread._thread.join(30)


async def test_many_at_once(dumper: Dumper, tmp_path: Path) -> None:
    async def one(number: int) -> None:
        dump = dumper.begin("p", f"m{number % 3}", str(number) if number % 2 else None, "/same")
        for turn in range(3):
            dump.attempt(call(b"%d %d" % (number, turn)))
            await asyncio.sleep(0)
            dump.head(200, "OK", JSON)
            for _ in range(3):
                dump.data(b"%d " % number)
                await asyncio.sleep(0)
        dump.finish()

    await asyncio.gather(*(one(number) for number in range(200)))
    await dumper.flush()
    seen = set()
    for path in dumps(tmp_path):
        made = entries(path)
        [number] = {entry["request"]["postData"]["text"].split()[0] for entry in made}
        assert [entry["_attempt"] for entry in made] == [1, 2, 3]
        assert {entry["response"]["content"]["text"] for entry in made} == {f"{number} " * 3}
        seen.add(int(number))
    assert seen == set(range(200))
    assert dumper._held == dumper._thread.freed


_ENDLESS = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from aigw.gateway.dump import Dumper
from aigw.providers.call import Call
from multidict import CIMultiDict

async def main():
    dumper = Dumper(Path(sys.argv[1]), timedelta(days=1), 1 << 30)
    dumper.open()
    for number in range(10**6):
        dump = dumper.begin("p", "m", str(number), "")
        dump.attempt(Call("POST", "https://h/", CIMultiDict(), b"q" * 2_000_000))
        dump.head(200, "OK", {})
        dump.data(b"a" * 2_000_000)
        dump.finish()
        await dumper.flush()
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_killed_daemon_leaves_no_half_file(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    made = dumps(tmp_path)
    assert len(made) >= 9
    for path in made:
        assert entries(path)[0]["response"]["bodySize"] == 2_000_000
