"""Maximum likelihood of a spread, against planted ones and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from bench.stats.censored_spread import LEAST, censored_spread

NOTHING = np.zeros(0)


def censored(spread, n, limit, seed=1):
    """Values below a limit are seen, the others only known not to be below it."""
    values = np.random.default_rng(seed).normal(0, spread, n)
    limits = np.full(n, limit * spread)
    seen = values < limits
    return values[seen], limits[~seen]


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.6, 2.0])
@pytest.mark.parametrize("limit", [0.3, 1.0, 5.0])
def test_a_planted_spread_is_found(spread, limit):
    found = censored_spread(*censored(spread, 20_000, limit))
    assert found == pytest.approx(spread, rel=0.03)


def test_it_is_the_maximum_that_scipy_finds():
    observed, at_least = censored(0.5, 300, 0.4)

    def loss(s):
        seen, hidden = stats.norm.logpdf(observed, scale=s), stats.norm.logsf(at_least, scale=s)
        return -(seen.sum() + hidden.sum())

    best = optimize.minimize_scalar(loss, bounds=(0.01, 5), method="bounded").x
    assert censored_spread(observed, at_least) == pytest.approx(best, rel=1e-3)


def test_without_censoring_it_is_the_root_mean_square():
    values = np.random.default_rng(2).normal(0, 0.2, 50)
    assert censored_spread(values, NOTHING) == pytest.approx(np.sqrt((values**2).mean()), rel=1e-3)


def test_equal_lists_have_none():
    assert censored_spread(np.zeros(100), NOTHING) == LEAST
    assert censored_spread(NOTHING, NOTHING) == LEAST
    assert censored_spread(NOTHING, np.array([3.0])) == LEAST


def test_far_limits_are_no_overflow():
    assert 0.3 < censored_spread(np.array([0.5, -0.5]), np.array([500.0, 1e6, -4.0])) < 1e6
