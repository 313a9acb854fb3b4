"""Two runs that were not paired."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.sessions import MIN_SESSIONS, session_noise
from bench.stats.welch import satterthwaite, unpaired_effect

blocks = st.lists(st.floats(1, 100), min_size=2, max_size=10)


@given(blocks, blocks)
def test_agrees_with_scipy(a, b):
    if min(np.log(a).std(), np.log(b).std()) < 1e-6:
        return
    effect = unpaired_effect(a, b)
    reference = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    assert effect.p_value == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert effect.df == pytest.approx(reference.df, rel=1e-6)
    assert effect.log_interval() == pytest.approx(
        tuple(reference.confidence_interval()), rel=1e-5, abs=1e-9
    )


def test_satterthwaite_by_hand():
    # Snedecor & Cochran's form: (1 + 4)^2 / (1/4 + 16/8) = 25 / 2.25.
    assert satterthwaite([(1.0, 4), (4.0, 8)]) == pytest.approx((5.0, 25 / 2.25))


def test_sessions_widen_the_interval():
    a, b = [100, 101, 99, 100], [95, 96, 94, 95]
    sessions = [100, 104, 97, 102, 98]
    within, between = unpaired_effect(a, b), unpaired_effect(a, b, session_noise(sessions))
    assert between.log_ratio == within.log_ratio
    assert between.standard_error > within.standard_error
    assert between.standard_error**2 == pytest.approx(
        within.standard_error**2 + 2 * np.log(sessions).var(ddof=1)
    )
    assert within.p_value < 0.05 < between.p_value


def false_alarms(sessions: int, repetitions: int = 600) -> float:
    """A = A in truth; sessions differ by 2 %, blocks by 1 %."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(repetitions):
        levels = rng.normal(0, 0.02, sessions + 2)
        runs = np.exp(levels[:, None] + rng.normal(0, 0.01, (sessions + 2, 6)))
        history = np.exp(np.log(runs[2:]).mean(axis=1))
        alarms += unpaired_effect(runs[0], runs[1], session_noise(history)).p_value <= 0.05
    return alarms / repetitions


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [5, 20])
def test_false_alarms_stay_at_five_percent_when_sessions_differ(sessions):
    assert false_alarms(sessions) <= 0.08


def test_without_the_session_term_they_do_not():
    rng = np.random.default_rng(12)
    alarms = 0
    for _ in range(300):
        a, b = np.exp(rng.normal(0, 0.02, 2)[:, None] + rng.normal(0, 0.01, (2, 6)))
        alarms += unpaired_effect(a, b).p_value <= 0.05
    assert alarms / 300 > 0.4


def test_too_few():
    with pytest.raises(ValueError, match="at least 2 blocks"):
        unpaired_effect([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=f"{MIN_SESSIONS} are needed"):
        session_noise([1.0, 1.0])
    with pytest.raises(ValueError, match="above 0"):
        unpaired_effect([0.0, 2.0], [1.0, 2.0])
