"""Change points of a history: a report, not a gate."""

import numpy as np
import pytest
from run_histories import History, marked

from bench.stats.change_points import MIN_POINTS, change_points


def test_a_step_is_found_where_it_is():
    rng = np.random.default_rng(1)
    series = np.r_[rng.normal(60, 0.6, 15), rng.normal(54, 0.6, 15)]
    (point,) = change_points(series)
    assert point.index == 15
    assert point.before == pytest.approx(60, rel=0.01)
    assert point.change == pytest.approx(-0.10, abs=0.01)
    assert point.p_value < 1e-6


def test_two_steps():
    rng = np.random.default_rng(2)
    levels = np.repeat([100, 80, 95], 12)
    assert [p.index for p in change_points(levels * np.exp(rng.normal(0, 0.01, 36)))] == [12, 24]


def test_small_changes_are_ignored():
    """However clear: 3 % is the least that counts."""
    for level, found in ((98.0, 0), (96.0, 1)):
        series = np.r_[np.tile([100.0, 100.1], 10), np.tile([level, level + 0.1], 10)]
        assert len(change_points(series)) == found


def test_short_series_have_none():
    series = np.r_[np.full(5, 100.0), np.full(4, 50.0)]
    assert series.size < MIN_POINTS
    assert change_points(series) == ()


def test_no_spread():
    assert change_points(np.full(20, 7.0)) == ()
    (point,) = change_points(np.r_[np.full(10, 7.0), np.full(10, 6.0)])
    assert point.index == 10
    assert point.p_value < 1e-12


def test_false_points_in_stable_series_are_rare():
    rng = np.random.default_rng(3)
    found = sum(bool(change_points(np.exp(rng.normal(0, 0.02, 30)))) for _ in range(300))
    assert found / 300 <= 0.05


def test_a_five_percent_drop_shows_after_a_few_runs():
    rng = np.random.default_rng(4)

    def seen(after: int) -> float:
        hits = 0
        for _ in range(150):
            logs = np.r_[rng.normal(0, 0.02, 30), rng.normal(np.log(0.95), 0.02, after)]
            hits += bool(change_points(np.exp(logs)))
        return hits / 150

    assert seen(5) >= 0.8 > seen(1)


def test_refuses_values_without_a_log():
    with pytest.raises(ValueError, match="above 0"):
        change_points(np.zeros(12))


@pytest.mark.slow
@pytest.mark.parametrize(
    "history",
    [
        History(),
        History(sd=0.05, phi=0.3),
        History(sd=0.05, phi=0.6),
        History(sd=0.05, phi=0.8),
        History(drift=0.1),
        History(sd=0.05, drift=0.1),
        History(sd=0.05, phi=0.6, heavy=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [10, 30])
def test_neither_autocorrelation_nor_drift_is_a_change(history, n):
    # 5 %, and two standard errors; before, up to 58 % and with a drift 100 %.
    assert marked(history, n, 200) <= 0.081


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.02, 0.05])
@pytest.mark.parametrize("phi", [0.3, 0.6])
def test_with_a_drift_and_autocorrelation_a_false_step_is_said_to_be_a_drift(phi, sd):
    """The worst length, 20 runs: 7 to 11 % are marked, but firmly at most 5 %."""
    history = History(sd=sd, phi=phi, drift=0.1)
    assert marked(history, 20, 400, seed=6, firm=True) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_a_plain_step_is_firm_and_one_on_a_slope_is_not():
    noise = np.random.default_rng(7).normal(0, 0.01, 40)
    (plain,) = change_points(np.exp(noise - 0.06 * (np.arange(40) >= 20)))
    assert plain.firm
    found = [
        point
        for seed in range(60)
        for point in change_points(
            History(sd=0.05, phi=0.6, drift=0.1).draw(np.random.default_rng([8, seed]), 20)
        )
    ]
    assert found
    assert sum(point.firm for point in found) <= len(found) / 2 + 1


def test_two_steps_are_not_taken_for_autocorrelation():
    rng = np.random.default_rng(5)
    levels = np.repeat([100, 88, 76], 15)
    assert len(change_points(levels * np.exp(rng.normal(0, 0.01, 45)))) == 2


@pytest.mark.parametrize(("n", "after", "least"), [(30, 3, 0.5), (30, 10, 0.8), (15, 15, 0.6)])
def test_a_step_is_found_beside_the_chance_of_a_drift(n, after, least):
    assert marked(History(), n, 150, after, np.log(0.95)) >= least
