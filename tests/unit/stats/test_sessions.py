"""How much sessions differ: a new level is no noise, a rare state is no change."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats.sessions import MIN_SESSIONS, session_noise
from bench.stats.welch import unpaired_effect


def sessions(n: int, sd: float = 0.02, seed: int = 1):
    return np.exp(np.random.default_rng(seed).normal(0, sd, n))


def test_of_one_level_it_is_the_plain_variance():
    values = sessions(9)
    noise = session_noise(values)
    assert noise.variance == pytest.approx(np.log(values).var(ddof=1))
    assert (noise.df, len(noise.levels)) == (8, 1)


def test_slow_nights_that_stay_are_a_level_of_their_own():
    good = sessions(8, 0.01)
    for slow in (1, 2, 3):
        noise = session_noise([*good, *(0.9 * sessions(slow, 0.01, seed=2))])
        assert len(noise.levels) == 2
        assert noise.variance == pytest.approx(np.log(good).var(ddof=1), rel=0.5)


def test_a_slow_night_that_did_not_stay_is_noise():
    values = sessions(9, 0.005)
    values[3] *= 0.9
    noise = session_noise(values)
    assert noise.variance == pytest.approx(np.log(values).var(ddof=1))
    assert noise.has_seen(0.905, baseline=1.0)
    assert not noise.has_seen(0.8, baseline=1.0)


def test_long_histories_have_their_change_points():
    values = np.concatenate((sessions(12, 0.01), 0.9 * sessions(12, 0.01, seed=3)))
    noise = session_noise(values)
    assert [len(level) for level in noise.levels] == [12, 12]
    assert noise.variance == pytest.approx(1e-4, rel=0.6)


def test_a_baseline_may_be_unusual_itself():
    noise = session_noise(sessions(10, 0.01))
    assert noise.is_unusual(0.93)
    assert not noise.is_unusual(1.01)
    assert not noise.is_unusual(0.93, error=0.05)


def test_too_few_or_no_ratio():
    with pytest.raises(ValueError, match=f"{MIN_SESSIONS} are needed"):
        session_noise([1.0, 1.0])
    with pytest.raises(ValueError, match="above 0"):
        session_noise([1.0, 0.0, 1.0, 1.0, 1.0])


def judged(rng: np.random.Generator, levels: np.ndarray) -> tuple[bool, bool]:
    """Of a baseline (first), earlier sessions, and a candidate (last): (called, called firmly)."""
    runs = np.exp(levels[:, None] + rng.normal(0, 0.01, (levels.size, 6)))
    noise = session_noise(np.exp(np.log(runs[1:-1]).mean(axis=1)))
    effect = unpaired_effect(runs[0], runs[-1], noise)
    called = effect.p_value <= 0.05 and abs(effect.log_ratio) > np.log(1.025)
    first, last = (float(np.exp(np.log(run).mean())) for run in (runs[0], runs[-1]))
    firm = called and not noise.is_unusual(first, 0.004) and not noise.has_seen(last, first)
    return called, firm


def rate(earlier: int, rare: float = 0.0, shift: float = 0.0, slow: int = 0, draws: int = 300):
    """Share of firm verdicts; `slow` sessions before the candidate are on its level, too."""
    rng = np.random.default_rng(20261129)
    hits = 0
    for _ in range(draws):
        levels = rng.normal(0, 0.01, earlier + slow + 2)
        levels -= 0.1 * (rng.random(levels.size) < rare)
        levels[earlier + 1 :] += np.log1p(shift)
        hits += judged(rng, levels)[1]
    return hits / draws


@pytest.mark.parametrize("earlier", [5, 10, 20])
def test_equal_sessions_are_rarely_a_change(earlier):
    assert rate(earlier) <= 0.08  # 5 % nominal


@pytest.mark.parametrize("rare", [0.1, 0.2])
def test_a_rare_slow_state_is_rarely_a_change(rare):
    # By Student's t alone: 9 to 13 %.
    assert rate(10, rare=rare) <= 0.08
    assert rate(20, rare=rare) <= 0.06


@pytest.mark.parametrize("slow", [0, 1, 3])
def test_the_second_slow_night_is_found_as_the_first(slow):
    # As noise between sessions, one slow night hid the second in 55 to 97 % of the cases.
    assert rate(10, shift=-0.1, slow=slow, draws=100) >= 0.9
