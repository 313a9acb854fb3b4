"""Planning: noise from a pilot, pairs needed, change detectable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from bench.stats.paired import paired_effect
from bench.stats.power import (
    Noise,
    detectable_change,
    expected_power,
    noise_of,
    pairs_needed,
    planned_pairs,
    sd_interval,
)

NOISE = [
    (0.01, 0.02, 10, 0.02),
    (0.01, 0.02, 10, 0.05),
    (0.03, 0.04, 10, 0.02),
    (0.03, 0.04, 10, 0.05),
    (0.03, 0.10, 30, 0.02),
    (0.03, 0.10, 30, 0.05),
    (0.05, 0.30, 30, 0.05),
    (0.05, 0.30, 30, 0.10),
    (0.05, 0.30, 100, 0.02),
]


@pytest.mark.parametrize(("sb", "sw", "n", "change"), NOISE)
@pytest.mark.parametrize("metrics", [1, 4])
def test_pairs_for_known_noise_are_those_of_the_noncentral_t(sb, sw, n, change, metrics):
    sd = Noise(sb, sw, 6, n).pair_sd
    size = np.log1p(change) / sd
    exact = TTestPower().solve_power(size, power=0.8, alpha=0.05 / metrics)
    assert pairs_needed(sd, change, metrics=metrics) == max(2, np.ceil(exact))
    assert expected_power(12, change, sd) == pytest.approx(
        stats.nct.sf(stats.t.ppf(0.975, 11), 11, size * 12**0.5), abs=0.005
    )


@pytest.mark.parametrize("df", [1, 3, 5, 11, 200])
def test_the_interval_of_a_standard_deviation_is_chi_squares(df):
    low, high = sd_interval(2.0, df)
    assert low == pytest.approx(2 / np.sqrt(stats.chi2.ppf(0.975, df) / df), rel=1e-3)
    assert high == pytest.approx(2 / np.sqrt(stats.chi2.ppf(0.025, df) / df), rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("pilot", [4, 6, 12])
def test_the_power_holds_though_a_pilot_hardly_knows_the_noise(pilot):
    """Plan from a pilot, then measure: 80 % of all that see the change, over pilots."""
    rng = np.random.default_rng(11)
    sd, change = 0.06, 0.05
    seen = []
    for _ in range(300):
        found = float(rng.normal(0, sd, pilot).std(ddof=1))
        planned = pairs_needed(found, change, df=pilot - 1)
        assert planned is not None
        runs = rng.normal(np.log1p(change), sd, (10, planned))
        seen += [paired_effect(d).p_value <= 0.05 for d in runs]
    # Taken for true, a pilot of 6 pairs gives 70 %.
    assert np.mean(seen) == pytest.approx(0.8, abs=0.04)


def test_six_pairs_at_typical_noise_show_2_3_percent():
    assert detectable_change(Noise(0.01, 0.02, 6, 15).pair_sd, 6) == pytest.approx(
        0.023, abs=0.0005
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.3), st.floats(0.01, 0.3))
def test_the_two_directions_agree(pair_sd, change):
    pairs = pairs_needed(pair_sd, change)
    assert pairs is not None
    assert detectable_change(pair_sd, pairs) <= change + 1e-9
    if pairs > 2:
        assert detectable_change(pair_sd, pairs - 1) > change - 1e-9


def test_not_by_repetition():
    assert pairs_needed(3.0, 0.01) is None


def test_at_least_six_pairs_are_planned():
    assert planned_pairs(3) == 6
    assert planned_pairs(9) == 9


def test_noise_by_hand():
    # Two blocks of two: means 0.1 and 0.3 apart by 0.2; within: +-0.05 around each.
    blocks = [np.exp([0.05, 0.15]), np.exp([0.25, 0.35])]
    noise = noise_of(blocks)
    assert noise.within_block == pytest.approx(np.sqrt(0.005))
    assert noise.between_blocks == pytest.approx(np.sqrt((0.04 - 0.005) / 2))
    assert (noise.blocks, noise.requests_per_block) == (2, 2)


def test_noise_is_recovered():
    rng = np.random.default_rng(3)
    blocks = [
        np.exp(rng.normal(rng.normal(0, 0.03), 0.08, rng.integers(20, 60))) for _ in range(400)
    ]
    noise = noise_of([100 * b for b in blocks])
    assert noise.between_blocks == pytest.approx(0.03, rel=0.15)
    assert noise.within_block == pytest.approx(0.08, rel=0.05)


def test_no_spread_between_blocks_is_zero_not_negative():
    assert noise_of([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).between_blocks == 0.0


@pytest.mark.parametrize("blocks", [[[1.0, 2.0]], [[1.0, 2.0], []], [[1.0], [2.0]]])
def test_too_little_for_a_noise(blocks):
    with pytest.raises(ValueError, match="at least 2"):
        noise_of(blocks)


@pytest.mark.parametrize(
    ("sb", "sw", "n", "quantile", "change"),
    [(0.0, 0.58, 24, 0.5, 0.10), (0.05, 0.30, 50, 0.5, 0.10), (0.05, 0.6, 100, 0.95, 0.20)],
)
def test_the_pairs_planned_for_a_quantile_have_the_power_promised(sb, sw, n, quantile, change):
    rng = np.random.default_rng(3)

    def blocks(count, factor=1.0):
        between = rng.normal(0, sb, (*count, 1))
        return factor * np.exp(between + rng.normal(0, sw, (*count, n)))

    planned = pairs_needed(noise_of(list(blocks((200,))), quantile).pair_sd, change)
    assert planned is not None
    a, b = (np.quantile(blocks((600, planned), f), quantile, axis=2) for f in (1, 1 + change))
    seen = [paired_effect(d).p_value <= 0.05 for d in np.log(b / a)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_a_median_scatters_more_than_a_mean():
    blocks = list(np.exp(np.random.default_rng(1).normal(0, 0.2, (40, 101))))
    median, mean = noise_of(blocks, 0.5).of_value, noise_of(blocks).within_block / 101**0.5
    assert median / mean == pytest.approx((np.pi / 2) ** 0.5, rel=0.08)


def test_prompts_that_a_pair_shares_are_no_noise():
    """Lengths from 100 to 4,000 tokens: the blocks differ by 40 %, their pairs by 3 %."""
    rng = np.random.default_rng(5)
    prompts = rng.normal(0, 1.0, (40, 20))
    logs = prompts + rng.normal(0, 0.01, (40, 1)) + rng.normal(0, 0.05, (40, 20))
    blocks, explained = list(np.exp(logs)), list(prompts)
    for quantile, statistic in ((None, np.mean), (0.5, np.median)):
        draw = rng.normal(0, 0.01, (2, 4000, 1)) + rng.normal(0, 0.05, (2, 4000, 20))
        shared = rng.normal(0, 1.0, (4000, 20))
        a, b = statistic(shared + draw, axis=2)
        true = (a - b).std()
        assert noise_of(blocks, quantile, explained).pair_sd == pytest.approx(true, rel=0.25)
    assert noise_of(blocks).pair_sd > 5 * noise_of(blocks, None, explained).pair_sd
