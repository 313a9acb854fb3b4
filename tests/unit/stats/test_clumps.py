"""Requests that resemble their neighbours, against scipy and simulated series."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_blocks import Noise
from scipy import stats

from bench.stats.clumps import neighbour_correlation, requests_like_one

BLOCKS = np.repeat(np.arange(6), 50)


def found(noise: Noise, runs: int) -> list[float]:
    values = noise.draw(np.random.default_rng(3), [50] * 6, runs)
    return [neighbour_correlation(run, BLOCKS) for run in values]


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("r", [0.3, 0.8])
def test_requests_in_a_row_are_worth_what_the_bivariate_normal_says(p: float, r: float) -> None:
    limit, worth = stats.norm.isf(p), 1.0  # beyond it on one side, as on the other
    for k in range(1, 40):
        both = stats.multivariate_normal.cdf([-limit, -limit], cov=[[1, r**k], [r**k, 1]])
        worth += 2 * (both - p**2) / (p * (1 - p))
    assert requests_like_one(r, p) == pytest.approx(worth, rel=0.01)
    assert requests_like_one(0.0, p) == 1


@pytest.mark.parametrize("slow", [False, True])
def test_independent_requests_are_seldom_called_alike(slow: bool) -> None:
    """Also where blocks differ as much as requests: that is no clump."""
    assert np.mean(np.array(found(Noise(0.1, 0.1, slow=slow), 400)) > 0) < 0.02


def test_the_correlation_of_neighbours_is_found() -> None:
    alike = found(Noise(0.2, 0.2, 0.6), 100)
    assert min(alike) > 0.2
    assert np.mean(alike) == pytest.approx(0.6, abs=0.06)
    assert max(found(Noise(0.2, 0.2, 0.95), 20)) == 0.8  # a drift is no clump


def test_equal_values_and_few_requests_show_nothing() -> None:
    assert neighbour_correlation(np.full(300, 2.0), BLOCKS) == 0
    two = np.random.default_rng(2).integers(1, 3, 300).astype(float)
    assert neighbour_correlation(two, BLOCKS) == 0
    assert neighbour_correlation(np.arange(8.0), np.zeros(8, np.int64)) == 0


@pytest.mark.parametrize("prompts", [[1.0, 2, 3, 4], [1.0, 2, 3, 4, 5], [3.0, 1, 8, 5, 2, 7, 4, 6]])
def test_prompts_in_turn_are_no_clump(prompts: list[float]) -> None:
    rng = np.random.default_rng(4)
    sizes = np.resize(prompts, 300)
    assert neighbour_correlation(sizes * np.exp(rng.normal(0, 0.05, 300)), BLOCKS) == 0
