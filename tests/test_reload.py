"""Reading the configuration again: all or nothing, one at a time, and what cannot change is said."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from aigw.gateway.configuration import Configuration, ReloadOutcome, from_settings
from aigw.gateway.tls import ListenerTls, tls_files
from aigw.options import OPTIONS
from aigw.providers.key_pool import KeyPool
from aigw.reload import RELOADABLE, TLS_OPTIONS, Reloader, changed_for_good
from aigw.settings import Settings, resolve
from aigw.tasks import spawn
from tests.certificates import Pair, new_pair
from tests.home import use_home

FIRST = "sk-first-canary-0123456789"
SECOND = "sk-second-canary-012345678"


class Files:
    """A configuration file, the settings it makes, and a reloader of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.toml"
        self.database = folder / "aigw.db"
        self.used: list[Configuration] = []

    def write(self, *lines: str) -> None:
        self.path.write_text("\n".join(["[aibridge]", "enabled = true", *lines]), encoding="utf-8")

    def read(self) -> Settings:
        return resolve({"config": str(self.path), "db": str(self.database)}, {})

    def reloader(self, resolve: Callable[[], Settings] | None = None) -> Reloader:
        settings = self.read()
        files = tls_files(settings.tls_cert_file, settings.tls_key_file)
        tls = ListenerTls(files) if files else None
        made = Reloader(settings, from_settings(settings), resolve or self.read, tls)
        made.subscribe(self.used.append)
        return made


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    use_home(monkeypatch, tmp_path / "home")
    made = Files(tmp_path)
    made.write()
    return made


@pytest.fixture
def adoptions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[KeyPool, KeyPool]]:
    """Which pools have taken over from which."""
    found: list[tuple[KeyPool, KeyPool]] = []
    monkeypatch.setattr(KeyPool, "adopt", lambda new, old: found.append((new, old)))
    return found


async def test_a_change_comes_into_use(files: Files) -> None:
    reloader = files.reloader()
    before = reloader.configuration
    assert reloader.last.ok
    files.write('retention = "2d"', "max_concurrency = 7", f'openai_key = "{FIRST}"')
    outcome = await reloader.reload()
    assert (outcome.ok, outcome.problems, outcome.needs_restart) == (True, (), ())
    assert reloader.last is outcome
    assert files.used == [reloader.configuration]
    assert reloader.configuration is not before
    assert reloader.configuration.retention == timedelta(days=2)
    assert reloader.configuration.max_concurrency == 7
    pool = reloader.configuration.providers["openai"].pool
    assert pool is not None
    assert [each.hint for each in pool.credentials] == ["sk-f...6789"]


async def test_what_has_not_changed_stays_the_same_object(
    files: Files, adoptions: list[tuple[KeyPool, KeyPool]]
) -> None:
    files.write(f'openai_key = "{FIRST}"', 'anthropic_key = "sk-ant-1"')
    reloader = files.reloader()
    before = reloader.configuration.providers
    # The same on another line of the file, and one key beside it changed.
    files.write("# a remark", f'openai_key = "{FIRST}"', 'anthropic_key = "sk-ant-2"')
    assert (await reloader.reload()).ok
    after = reloader.configuration.providers
    assert after["openai"] is before["openai"]
    assert after["anthropic"] is not before["anthropic"]
    assert adoptions == [(after["anthropic"].pool, before["anthropic"].pool)]


async def test_a_bad_file_keeps_everything(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write('retention = "5d"')
    reloader = files.reloader()
    before = reloader.configuration
    files.write('retention = "soon"', "max_concurrency = -1", 'openai_key = "file:nowhere"')
    outcome = await reloader.reload()
    assert not outcome.ok
    assert len(outcome.problems) == 3
    assert reloader.last is outcome
    assert reloader.configuration is before
    assert files.used == []
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"the configuration stays as it was: {each}" for each in outcome.problems]
    files.write('retention = "6d"')
    assert (await reloader.reload()).ok
    assert reloader.last.problems == ()
    assert reloader.configuration.retention == timedelta(days=6)


async def test_a_refused_reload_does_not_touch_the_pools_in_use(
    files: Files, tmp_path: Path, adoptions: list[tuple[KeyPool, KeyPool]]
) -> None:
    pair = new_pair(tmp_path)
    tls = ("[networking.tls]", f'cert_file = "{pair.cert}"', f'key_file = "{pair.key}"')
    files.write(f'openai_key = "{FIRST}"', *tls)
    reloader = files.reloader()
    pair.key.write_text("nonsense")
    files.write(f'openai_key = "{SECOND}"', *tls)
    outcome = await reloader.reload()
    assert outcome.problems == (f"{pair.key} holds no private key in PEM",)
    (pool,) = [each.pool for each in reloader.configuration.providers.values() if each.pool]
    assert adoptions == []
    assert [each.hint for each in pool.credentials] == ["sk-f...6789"]


async def test_certificates_come_into_use_with_the_rest(files: Files, tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    tls = ("[networking.tls]", f'cert_file = "{pair.cert}"', f'key_file = "{pair.key}"')
    files.write(*tls)
    reloader = files.reloader()
    assert reloader.tls is not None
    before = pair.pem
    pair.write(new_pair(tmp_path, "second"))
    files.write('retention = "soon"', *tls)
    assert not (await reloader.reload()).ok
    assert reloader.tls.leaf.pem == before
    files.write('retention = "1d"', *tls)
    assert (await reloader.reload()).ok
    assert reloader.tls.leaf.pem == pair.pem != before


async def test_every_outcome_is_told(files: Files) -> None:
    told: list[ReloadOutcome] = []
    reloader = files.reloader()
    reloader.watch(told.append)
    await reloader.reload()
    files.write("max_concurrency = -1")
    await reloader.reload()
    assert [outcome.ok for outcome in told] == [True, True, False]
    assert told[0].at <= told[1].at <= told[2].at


async def test_a_bug_keeps_everything(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Settings:
        raise RuntimeError(SECOND)

    reloader = files.reloader(broken)
    before = reloader.configuration
    outcome = await reloader.reload()
    assert outcome.problems == ("reading the configuration failed: RuntimeError",)
    assert reloader.configuration is before
    assert "reading the configuration failed" in caplog.text


async def test_what_needs_a_restart_is_named(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    reloader = files.reloader()
    files.write("[aigw]", 'max_body_size = "1MiB"', "store_fail_open = true")
    outcome = await reloader.reload()
    assert outcome.ok
    assert outcome.needs_restart == ("max_body_size", "store_fail_open")
    assert "needs a restart: max_body_size, store_fail_open" in caplog.text
    # As long as the daemon runs with the old values, and no longer.
    assert (await reloader.reload()).needs_restart == outcome.needs_restart
    files.write()
    assert (await reloader.reload()).needs_restart == ()


def test_a_listener_does_not_begin_to_speak_tls(files: Files, tmp_path: Path) -> None:
    pair, other = new_pair(tmp_path), new_pair(tmp_path, "other")

    def with_tls(found: Pair) -> Settings:
        files.write("[networking.tls]", f'cert_file = "{found.cert}"', f'key_file = "{found.key}"')
        return files.read()

    plain = files.read()
    assert changed_for_good(plain, with_tls(pair)) == ("tls_cert_file", "tls_key_file")
    assert changed_for_good(with_tls(pair), plain) == ("tls_cert_file", "tls_key_file")
    assert changed_for_good(with_tls(pair), with_tls(other)) == ()


def test_options_that_reload_exist() -> None:
    assert {option.name for option in OPTIONS} >= RELOADABLE | TLS_OPTIONS


class SlowSettings:
    """Settings whose reading waits for the test."""

    def __init__(self, files: Files) -> None:
        self.reads = 0
        self.begun = threading.Event()
        self.go_on = threading.Semaphore(0)
        self._files = files

    def __call__(self) -> Settings:
        self.reads += 1
        self.begun.set()
        assert self.go_on.acquire(timeout=20)
        return self._files.read()


async def test_a_storm_is_two_reloads(files: Files) -> None:
    slow = SlowSettings(files)
    reloader = files.reloader(slow)
    first = reloader.request()
    assert await asyncio.to_thread(slow.begun.wait, 20)
    files.write('retention = "9d"')
    storm = [reloader.request() for _ in range(50)]
    slow.go_on.release(2)
    outcomes = await asyncio.gather(*storm)
    assert slow.reads == 2
    assert (await first) is not outcomes[0]
    assert all(outcome is outcomes[0] for outcome in outcomes)
    # Who asked while the first one ran has what was written by then.
    assert reloader.configuration.retention == timedelta(days=9)


async def test_who_stops_waiting_does_not_stop_it(files: Files) -> None:
    slow = SlowSettings(files)
    reloader = files.reloader(slow)
    asking = spawn("asking", reloader.reload())
    assert await asyncio.to_thread(slow.begun.wait, 20)
    asking.cancel()
    await asyncio.wait([asking])
    used = asyncio.Event()
    reloader.subscribe(lambda _: used.set())
    slow.go_on.release()
    await asyncio.wait_for(used.wait(), 20)


async def test_nothing_comes_into_use_after_the_end(files: Files) -> None:
    slow = SlowSettings(files)
    reloader = files.reloader(slow)
    running = reloader.request()
    assert await asyncio.to_thread(slow.begun.wait, 20)
    waiting = reloader.request()
    reloader.stop()
    slow.go_on.release(2)
    late = reloader.request()
    slow.go_on.release()
    for task in (running, waiting, late):
        assert (await task).problems == ("the daemon is stopping",)
    assert files.used == []


async def test_new_warnings_are_logged(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    def with_leftover() -> Settings:
        flags = {"config": str(files.path), "db": str(files.database)}
        return resolve(flags, {"CODER_AIBRIDGE_NONSENSE": "1"})

    assert (await files.reloader(with_leftover).reload()).ok
    assert "CODER_AIBRIDGE_NONSENSE: no such setting" in caplog.text


async def test_no_outcome_or_log_holds_a_secret(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(f'openai_key = "{FIRST}"')
    reloader = files.reloader()
    files.write(f'openai_key = "{SECOND}"', 'retention = "soon"')
    held = [await reloader.reload()]
    files.write(f'openai_key = "{SECOND}"')
    held.append(await reloader.reload())
    shown = f"{held!r} {reloader.configuration!r} {caplog.text}"
    assert "canary" not in shown
