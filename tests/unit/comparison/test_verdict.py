"""One effect against two sizes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import DescrStatsW

from bench.analysis.comparison.verdict_rule import (
    MEDIAN_SIZES,
    RATE_SIZES,
    TAIL_SIZES,
    Sizes,
    Verdict,
    decide,
    default_sizes,
    pairs_to_settle,
    sizes_of,
)
from bench.stats.paired import LogEffect, paired_effect

effects = st.builds(
    LogEffect,
    log_ratio=st.floats(-0.3, 0.3),
    standard_error=st.floats(0.0005, 0.2),
    df=st.integers(1, 30).map(float),
    n=st.integers(2, 31),
)


def judge(change: float, error: float, higher: bool = True, **more) -> Verdict:
    effect = LogEffect(math.log1p(change), error, 5, 6)
    return decide(effect, RATE_SIZES, higher, more.pop("p", effect.p_value), **more)


@pytest.mark.parametrize(
    ("change", "error", "verdict"),
    [
        (-0.05, 0.005, Verdict.WORSE),
        (+0.05, 0.005, Verdict.BETTER),
        (-0.02, 0.002, Verdict.NO_CHANGE),  # significant, but below what is to be ignored
        (0.0, 0.005, Verdict.NO_CHANGE),
        (-0.05, 0.05, Verdict.INCONCLUSIVE),
        (0.0, 0.05, Verdict.INCONCLUSIVE),
        (-0.03, 0.02, Verdict.INCONCLUSIVE),
    ],
)
def test_four_ways(change, error, verdict):
    assert judge(change, error) is verdict


def test_latency_is_better_when_lower():
    assert judge(0.2, 0.01, higher=False) is Verdict.WORSE
    assert judge(-0.2, 0.01, higher=False) is Verdict.BETTER


def test_correction_for_several_metrics_can_take_significance_away():
    assert judge(-0.06, 0.02, p=0.03) is Verdict.WORSE
    assert judge(-0.06, 0.02, p=0.06) is Verdict.INCONCLUSIVE


def test_strict_wants_the_whole_interval_beyond():
    assert judge(-0.04, 0.01) is Verdict.WORSE
    assert judge(-0.04, 0.01, strict=True) is Verdict.INCONCLUSIVE
    assert judge(-0.08, 0.01, strict=True) is Verdict.WORSE


@given(effects)
def test_swapping_the_sides_mirrors_the_verdict(effect):
    mirror = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE}
    swapped = LogEffect(-effect.log_ratio, effect.standard_error, effect.df, effect.n)
    for higher in (True, False):
        first = decide(effect, RATE_SIZES, higher, effect.p_value)
        assert decide(swapped, RATE_SIZES, higher, swapped.p_value) is mirror.get(first, first)


@given(effects, st.booleans())
def test_never_worse_within_what_is_ignored(effect, higher):
    verdict = decide(effect, RATE_SIZES, higher, effect.p_value)
    if abs(effect.log_ratio) <= math.log(1.025):
        assert verdict in (Verdict.NO_CHANGE, Verdict.INCONCLUSIVE)


def test_no_change_is_two_one_sided_tests():
    d = np.random.default_rng(2).normal(0.005, 0.02, 8)
    effect = paired_effect(d)
    bound = math.log(1.05)
    p_tost = DescrStatsW(d).ttost_mean(-bound, bound)[0]
    assert (decide(effect, RATE_SIZES, True, 1.0) is Verdict.NO_CHANGE) == (p_tost < 0.05)
    near = LogEffect(bound - 2.0 * 0.01, 0.01, 5, 6)  # 2.0 < t(.95, 5) = 2.015
    assert decide(near, RATE_SIZES, True, 1.0) is Verdict.INCONCLUSIVE
    inside = LogEffect(bound - 2.03 * 0.01, 0.01, 5, 6)
    assert decide(inside, RATE_SIZES, True, 1.0) is Verdict.NO_CHANGE


@pytest.mark.parametrize(
    ("metric", "sizes"),
    [
        ("decode_tok_per_s", RATE_SIZES),
        ("output_tok_per_s", RATE_SIZES),
        ("tpot_s.p50", RATE_SIZES),
        ("itl_s.mean", RATE_SIZES),
        ("eval_s.p50", RATE_SIZES),
        ("prompt_eval_s.p50", RATE_SIZES),
        ("tpot_s.p95", TAIL_SIZES),
        ("ttft_s.p50", MEDIAN_SIZES),
        ("e2e_s.mean", MEDIAN_SIZES),
        ("ttft_s.p95", TAIL_SIZES),
        ("queue_s.p99", TAIL_SIZES),
    ],
)
def test_default_sizes(metric, sizes):
    assert default_sizes(metric) == sizes


def test_own_sizes():
    assert sizes_of("ttft_s.p50", catch={"ttft_s": 0.3}) == Sizes(0.3, 0.15)
    assert sizes_of("ttft_s.p50", catch={"*": 0.04}, ignore={"ttft_s.p50": 0.01}) == Sizes(
        0.04, 0.01
    )
    assert sizes_of("ttft_s.p50", ignore={"decode_tok_per_s": 0.01}) == MEDIAN_SIZES


@pytest.mark.parametrize(("catch", "ignore"), [(0.0, 0.0), (0.05, 0.06), (0.05, -0.01)])
def test_sizes_that_make_no_sense(catch, ignore):
    with pytest.raises(ValueError):
        Sizes(catch, ignore)


def test_pairs_to_settle():
    pairs = pairs_to_settle(0.05, RATE_SIZES)
    assert pairs is not None and pairs > 6
    assert pairs_to_settle(0.05, RATE_SIZES, df=5) > pairs  # so short a run knows it less
    settled = LogEffect(0.0, 0.05 / math.sqrt(pairs), pairs - 1, pairs)
    assert decide(settled, RATE_SIZES, True, settled.p_value) is Verdict.NO_CHANGE
    assert pairs_to_settle(5.0, Sizes(0.01, 0.005)) is None
    # As many as planned were run: no number promises anything then.
    assert pairs_to_settle(0.05, RATE_SIZES, done=30) is None


@pytest.mark.parametrize(
    ("sizes", "strict"),
    [
        (RATE_SIZES, False),
        (Sizes(0.05, 0.0), False),
        # Once 11 and 11 pairs were planned, and 54 % and 45 % saw the change.
        (Sizes(0.05, 0.045), False),
        (RATE_SIZES, True),
    ],
)
def test_the_pairs_that_are_planned_call_the_change(sizes, strict):
    """80 % of comparisons with a true change of D, drawn, get the verdict that is asked for."""
    noise = 0.05
    pairs = pairs_to_settle(noise, sizes, strict=strict)
    rng = np.random.default_rng(3)
    called = []
    for d in rng.normal(math.log1p(sizes.catch), noise, (2000, pairs)):
        effect = paired_effect(d)
        called.append(decide(effect, sizes, True, effect.p_value, strict) is Verdict.BETTER)
    assert 0.77 < np.mean(called) < (0.9 if pairs > 6 else 1)


def test_what_is_ignored_is_never_shown_by_repetition():
    assert pairs_to_settle(0.001, Sizes(0.05, 0.05)) is None
