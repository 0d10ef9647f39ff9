from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway.assembly import Gateway, gateway
from tests.simulator import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Both providers, in a thread; a new one for each test, so that it has seen nothing yet."""
    with Simulator() as running:
        yield running


@pytest.fixture
async def running(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Gateway]:
    """A gateway without keys."""
    async with gateway(tmp_path, simulator) as made:
        yield made
