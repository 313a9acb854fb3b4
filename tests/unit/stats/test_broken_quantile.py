from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

sys.path.insert(0, str(Path(__file__).parents[2] / "performance"))

from threshold_verdicts import false_verdicts

from bench.stats.broken_quantile import NO_ACCIDENT, broken_beyond_doubt


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("n", [3, 9, 30, 70])
def test_of_one_block_it_is_the_binomial_test(allowed: float, n: int) -> None:
    """Truth: scipy."""
    blocks = np.zeros(n, dtype=np.int64)
    for count in range(n + 1):
        wrong = np.arange(n) < count
        chance = scipy.stats.binom.sf(count - 1, n, allowed)
        expected = count / n > allowed and chance < NO_ACCIDENT
        assert broken_beyond_doubt(wrong, blocks, allowed) == expected


def test_one_bad_block_is_no_proof() -> None:
    blocks = np.repeat([0, 1, 2], 10)
    assert not broken_beyond_doubt(blocks == 1, blocks, 0.05)
    assert broken_beyond_doubt(np.arange(30) % 10 < 3, blocks, 0.05)


@pytest.mark.parametrize(("noise", "correlation"), [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.8)])
@pytest.mark.parametrize("blocks", [3, 5])
def test_a_percentile_that_holds_is_hardly_ever_called_broken(
    blocks: int, noise: float, correlation: float
) -> None:
    assert false_verdicts(0.95, blocks, 10, noise, correlation, 800, 3) <= 0.02


def test_one_that_is_far_off_is_found() -> None:
    """Half of the requests beyond a limit that one in twenty may miss."""
    rng = np.random.default_rng(5)
    blocks = np.repeat(np.arange(3), 10)
    found = [broken_beyond_doubt(rng.random(30) < 0.5, blocks, 0.05) for _ in range(300)]
    assert np.mean(found) > 0.98
