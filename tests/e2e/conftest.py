"""The simulator and the gateway. Session-wide ones serve most tests: a test keeps to itself by a
model name of its own (`model("tools-2")`), which steers the simulator and finds the records."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import Daemon
from tests.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """Both providers."""
    with Simulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_script_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A script that no request used belongs to a test that did not do what it meant to."""
    yield
    if "simulator" in request.fixturenames:
        simulator: Simulator = request.getfixturevalue("simulator")
        left = simulator.pending_scripts
        simulator.clear_scripts()
        assert left == 0, f"{left} scripts were not used"


@pytest.fixture(scope="session")
def gateway(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon without central keys, for tests that only ask and read."""
    folder = tmp_path_factory.mktemp("gateway")
    with Daemon(folder, simulator.openai_url, simulator.anthropic_url) as running:
        yield running


@pytest.fixture(scope="session")
def strict(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with small limits: a second without a byte, a megabyte of body."""
    with Daemon(
        tmp_path_factory.mktemp("strict"),
        simulator.openai_url,
        simulator.anthropic_url,
        *("--upstream-idle-timeout", "1s", "--max-body-size", "1MiB"),
    ) as running:
        yield running


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start_daemon(simulator: Simulator, tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons of the test's own; whatever still runs is killed at the end."""
    started: list[Daemon] = []

    def start(*options: str, ready: bool = True, urls: bool = True, **more: object) -> Daemon:
        folder = tmp_path / f"daemon{len(started)}"
        folder.mkdir()
        daemon = Daemon(
            folder,
            simulator.openai_url if urls else "",
            simulator.anthropic_url if urls else "",
            *options,
            **more,  # type: ignore[arg-type]
        )
        started.append(daemon)
        if ready:
            daemon.start()
        return daemon

    yield start
    for daemon in started:
        if daemon._process is not None:
            daemon.kill()


@pytest.fixture
def model() -> Callable[[str], str]:
    """Makes model names that nobody else uses: `sim-FEATURES+u...`."""

    def make(features: str = "text") -> str:
        # The last part is no feature: digits between letters match none.
        return f"sim-{features}+u{uuid.uuid4().hex[:10]}z"

    return make
