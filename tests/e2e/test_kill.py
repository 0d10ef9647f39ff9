"""The recorder's guarantee: `kill -9` loses nothing of an answer that a client saw end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.e2e.kill_rounds import run_rounds
from tests.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.timeout(180)
def test_kill_nine_under_load(
    tmp_path: Path, half: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two stores of ten rounds, so that two test workers share the time.
    seed = random.SystemRandom().randrange(2**32)
    with Simulator() as simulator:
        tally = run_rounds(tmp_path, simulator, rounds=10, seed=seed)
    with capsys.disabled():
        print(f"\n{tally.summary()} (half {half}, seed {seed})")
    assert tally.problems == []
    assert tally.ended > 50
    assert tally.broken_off > 0
