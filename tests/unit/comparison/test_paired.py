"""Paired t on log ratios, and its sign-flip cross-check."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats.paired import log_ratios, paired_effect, sign_flip_p

# Student (1908), "The probable error of a mean": hours of sleep gained with two drugs.
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])

values = st.lists(st.floats(-1, 1), min_size=2, max_size=12)
rates = st.lists(st.floats(0.1, 1e4), min_size=2, max_size=12)


def test_students_sleep_data():
    effect = paired_effect(SLEEP)
    assert effect.log_ratio == pytest.approx(1.58)
    assert effect.log_ratio / effect.standard_error == pytest.approx(4.0621, abs=1e-4)
    assert effect.p_value == pytest.approx(0.002833, abs=1e-6)
    assert effect.log_interval() == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


@given(values)
def test_agrees_with_scipy(differences):
    d = np.array(differences)
    if d.std(ddof=1) < 1e-6:
        return
    effect, reference = paired_effect(d), stats.ttest_1samp(d, 0.0)
    assert effect.p_value == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert effect.log_interval(0.9) == pytest.approx(
        tuple(reference.confidence_interval(0.9)), rel=1e-6, abs=1e-9
    )


@given(rates, st.floats(0.5, 2))
def test_a_common_factor_is_the_effect(baseline, factor):
    effect = paired_effect(log_ratios(baseline, np.array(baseline) * factor))
    assert effect.ratio_change == pytest.approx(factor - 1, abs=1e-9)


def test_drift_common_to_a_pair_cancels():
    drift = np.linspace(100, 70, 8)
    assert paired_effect(log_ratios(drift, drift * 0.95)).interval() == pytest.approx(
        (-0.05, -0.05)
    )


def test_no_spread_and_no_difference_is_no_evidence():
    assert paired_effect([0.0, 0.0, 0.0]).p_value == 1.0
    assert paired_effect([0.1, 0.1, 0.1]).p_value < 1e-12


@pytest.mark.parametrize(
    ("baseline", "candidate"), [([1, 2], [1]), ([1, 0], [1, 1]), ([1, math.nan], [1, 1])]
)
def test_refuses_what_has_no_log_ratio(baseline, candidate):
    with pytest.raises(ValueError):
        log_ratios(baseline, candidate)


def test_one_pair_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 pairs"):
        paired_effect([0.1])


def test_sign_flip_textbook():
    # Fisher (1935), "The Design of Experiments", Darwin's maize: p = 1726 / 32768 two-sided.
    darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip_p(darwin) == pytest.approx(1726 / 32768)


def test_sign_flip_needs_six_pairs_to_reach_five_percent():
    assert sign_flip_p([1, 2, 3, 4, 5]) == 2 / 2**5
    assert sign_flip_p([1, 2, 3, 4, 5, 6]) == 2 / 2**6


@settings(deadline=None)
@given(st.lists(st.integers(-64, 64), min_size=2, max_size=9))
def test_sign_flip_agrees_with_scipy(differences):
    d = np.array(differences) / 64
    reference = stats.permutation_test(
        (d,),
        lambda x, axis: np.abs(x.sum(axis=axis)),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    )
    assert sign_flip_p(d) == pytest.approx(reference.pvalue, abs=1e-9)


def test_sign_flip_samples_when_there_are_too_many_patterns():
    d = np.random.default_rng(5).normal(0.3, 1, 24)
    assert sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    assert sign_flip_p(np.ones(40)) == pytest.approx(1 / 100_001)
