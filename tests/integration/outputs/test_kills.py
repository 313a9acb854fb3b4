"""A run that is killed: the short part. `tests/performance/kills.py` does it hundreds of times."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import pytest
from killing import SIGNALS, kill_a_run

from bench.server.embedded import EmbeddedServer

KINDS = [
    *itertools.product(SIGNALS, ["measuring", "reporting"], [1]),
    *itertools.product(SIGNALS[:2], ["loading", "measuring"], [2]),
]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize(("number", "phase", "workers"), KINDS)
def test_a_kill_loses_nothing_and_leaves_nothing(
    simulated: EmbeddedServer, tmp_path: Path, number: int, phase: str, workers: int
) -> None:
    kill = kill_a_run(tmp_path, simulated, number, phase, workers, 0.4, group=workers > 1)
    assert kill.wrong == ()
