"""The court lets honest runs of every era pass: a short form of the benchmark of false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from honest_runs import ERAS, honest_run
from lies import NAMED_BY

from bench.analysis.run.summarise import summarise

OF_THE_COURT = frozenset({"other_load"}).union(*NAMED_BY.values()) - {"chunk_not_token"}
RUNS = 12


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
def test_an_honest_run_is_not_suspected(era: str) -> None:
    for i in range(RUNS):
        summary = summarise(*honest_run(era, np.random.default_rng([7, i])))
        assert not {w.code for w in summary.warnings} & OF_THE_COURT, f"run {i}"
