"""Arrivals shared out to senders: the whole is exactly the plan, and every part is Poisson."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.load.sender import Share


@pytest.mark.parametrize("thinned", [False, True])
def test_every_arrival_is_exactly_one_senders(thinned):
    parts = [Share(n, 3, thinned).arrivals(1000, seed=7) for n in range(3)]
    assert sorted(n for part in parts for n in part) == list(range(1000))
    fewer = [Share(n, 3, thinned).arrivals(400, seed=7) for n in range(3)]
    assert all(list(f) == [n for n in p if n < 400] for f, p in zip(fewer, parts, strict=True))


def test_a_thinned_poisson_process_is_poisson_again():
    """Kolmogorov-Smirnov on the gaps; every third arrival instead is far from it."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(1 / 300, 9000))
    for worker in range(3):
        for thinned, fits in ((True, True), (False, False)):
            mine = times[list(Share(worker, 3, thinned).arrivals(len(times), seed=5))]
            p = stats.kstest(np.diff(mine), "expon", args=(0, 1 / 100)).pvalue
            assert bool(p > 0.01) is fits, (worker, thinned, p)
