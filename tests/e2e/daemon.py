"""The real daemon as a subprocess on a database of its own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from tests.e2e.polling import until
from tests.e2e.store import Interception, JsonObject, read_interceptions, read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
_opener = build_opener(ProxyHandler({}))


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which nothing of the developer's steers aigw."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "TEMP", "TMP")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "APPDATA": str(home)}
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(path), "NO_COLOR": "1"}
    return environment | dict(extra or {})


def run_aigw(
    home: Path, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run a command of aigw to its end."""
    return subprocess.run(
        [sys.executable, "-m", "aigw", *arguments],
        cwd=home,
        env=clean_environment(home, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def fetch(url: str, certificate: str | None = None) -> tuple[int, bytes]:
    """GET a page of the daemon's: status (0 when nobody listens) and body.

    With a certificate in PEM, that is the one trusted.
    """
    opener = _opener
    if certificate:
        context = ssl.create_default_context(cadata=certificate)
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()
    except (URLError, OSError):
        return 0, b""


class Daemon:
    """`aigw serve` in a folder: start it, ask it, read its store, stop it.

    with Daemon(tmp_path, simulator.openai_url, simulator.anthropic_url) as daemon:
        OpenAI(base_url=daemon.openai_url, ...)
        daemon.recorded("model")

    An empty base URL is not given. `configuration` is the text of a TOML file for `--config`.
    """

    def __init__(
        self,
        folder: Path,
        openai_url: str,
        anthropic_url: str,
        *options: str,
        database: Path | None = None,
        http_address: str = "127.0.0.1:0",
        environment: Mapping[str, str] | None = None,
        configuration: str = "",
        wrapper: Sequence[str] = (),
        **popen: Any,
    ) -> None:
        self.folder = folder
        self.database = database or folder / "aigw.db"
        self.address = ""
        self.metrics_address: str | None = None
        self._urls = (openai_url, anthropic_url)
        self._options = options
        if configuration:
            file = folder / "config.toml"
            file.write_text(configuration, encoding="utf-8")
            file.chmod(0o600)
            self._options = ("--config", str(file), *options)
        self._http_address = http_address
        self._environment = clean_environment(folder, environment)
        self._wrapper = wrapper
        self._popen = popen
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        try:
            if kind is None:
                assert self.stop() == 0, self.log
        finally:
            self.kill()

    @property
    def command(self) -> list[str]:
        """The command line."""
        flags = ("--aibridge-openai-base-url", "--aibridge-anthropic-base-url")
        given = [pair for pair in zip(flags, self._urls, strict=True) if pair[1]]
        return [
            *self._wrapper,
            *(sys.executable, "-m", "aigw", "serve", "--aibridge-enabled"),
            *("--db", str(self.database), "--http-address", self._http_address),
            *(part for pair in given for part in pair),
            *self._options,
        ]

    def spawn(self) -> None:
        """Start the process without waiting until it is ready."""
        with (
            (self.folder / "daemon.out").open("ab") as out,
            (self.folder / "daemon.err").open("ab") as err,
        ):
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                **self._popen,
            )

    def start(self, timeout: float = 30) -> None:
        """Start the process and wait until it is ready."""
        self.spawn()
        until(self._is_ready, timeout, "the daemon's readiness")

    def _is_ready(self) -> bool:
        code = self.process.poll()
        if code is not None:
            raise AssertionError(f"the daemon ended with {code}:\n{self.log}")
        try:
            note = json.loads(self.note_path.read_bytes())
        except (OSError, ValueError):
            return False
        # A killed daemon leaves its note behind. Wrappers that do not exec have another pid.
        if not self._wrapper and note["pid"] != self.process.pid:
            return False
        self.address = note["address"]
        self.metrics_address = note["metrics_address"]
        return fetch(f"{self.address}/readyz", note["certificate"])[0] == 200

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def note_path(self) -> Path:
        """The runtime file."""
        return self.database.with_name(self.database.name + ".daemon.json")

    @property
    def log(self) -> str:
        """What the daemon wrote to stderr."""
        return (self.folder / "daemon.err").read_text(encoding="utf-8", errors="replace")

    @property
    def port(self) -> int:
        """The listener's port."""
        return int(self.address.rpartition(":")[2])

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.address}/api/v2/aibridge/openai/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic clients."""
        return f"{self.address}/api/v2/aibridge/anthropic"

    def records(self) -> list[JsonObject]:
        """Every record, in the form of `aigw logs --json`, read from the tables."""
        return read_records(self.database)

    def interceptions(self) -> list[Interception]:
        """Every interception."""
        return read_interceptions(self.database)

    def recorded(self, model: str) -> list[Interception]:
        """The interceptions of a model name."""
        return [found for found in self.interceptions() if found.start["model"] == model]

    def requested(self, model: str) -> Interception:
        """The one interception of a model name that a rule put another in place of."""
        every = self.interceptions()
        found = [each for each in every if each.start["requested_model"] == model]
        assert len(found) == 1, f"{len(found)} interceptions that asked for {model}"
        return found[0]

    def only(self, model: str) -> Interception:
        """The one interception of a model name."""
        found = self.recorded(model)
        assert len(found) == 1, f"{len(found)} interceptions of {model}"
        return found[0]

    def when_ended(self, model: str, timeout: float = 10) -> Interception:
        """The one interception of a model name, once it has ended."""

        def look() -> Interception | None:
            found = self.recorded(model)
            return found[0] if found and found[0].end is not None else None

        ended = until(look, timeout, f"the end of {model}")
        assert ended is not None
        return ended

    def logs(self, *options: str) -> list[JsonObject]:
        """What `aigw logs --json` prints: every record unless options say otherwise."""
        arguments = ("logs", "--json", "-n", "0", "--db", str(self.database), *options)
        done = run_aigw(self.folder, *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self, timeout: float = 40) -> int:
        """End it in order; the exit code."""
        self.signal()
        return self.wait(timeout)

    def wait(self, timeout: float = 40) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        """End it as `kill -9` does, if it still runs."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.wait()
