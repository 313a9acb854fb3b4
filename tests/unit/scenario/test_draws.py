from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.scenario.draws import Stream, draw, generator, largest, mean, think_time_s
from bench.scenario.plan import Distribution

LAWS = [
    (Distribution("uniform", {"low": 3.0, "high": 7.0}), stats.uniform(3, 4)),
    (Distribution("normal", {"mean": 5.0, "sd": 2.0}), stats.norm(5, 2)),
    (
        Distribution("lognormal", {"median": 200.0, "p95": 800.0}),
        stats.lognorm(np.log(4) / stats.norm.ppf(0.95), scale=200),
    ),
]


def _many(distribution: Distribution, count: int = 4000) -> np.ndarray:
    return np.array([draw(distribution, generator(1, Stream.CALIBRATION, i)) for i in range(count)])


@pytest.mark.parametrize(("distribution", "law"), LAWS, ids=lambda x: getattr(x, "kind", ""))
def test_draws_follow_their_law(distribution: Distribution, law: object) -> None:
    assert stats.kstest(_many(distribution), law.cdf).pvalue > 0.001  # type: ignore[attr-defined]
    assert mean(distribution) == pytest.approx(law.mean())  # type: ignore[attr-defined]


def test_a_lognormal_has_its_median_and_its_p95() -> None:
    values = _many(LAWS[2][0])
    assert np.median(values) == pytest.approx(200, rel=0.06)
    assert np.mean(values > 800) == pytest.approx(0.05, abs=0.012)


def test_choices_come_by_weight() -> None:
    distribution = Distribution("choice", {"values": [1.0, 10.0], "weights": [3.0, 1.0]})
    assert np.mean(_many(distribution) == 10) == pytest.approx(0.25, abs=0.03)
    assert mean(distribution) == pytest.approx(3.25)


def test_a_fixed_number_is_itself() -> None:
    assert draw(Distribution("fixed", {"value": 42}), generator(1, Stream.CALIBRATION)) == 42
    assert mean(Distribution("fixed", {"value": 42})) == 42


def test_streams_are_independent_and_repeatable() -> None:
    first = generator(5, Stream.PROMPT_ORDER, 1).random()
    assert generator(5, Stream.PROMPT_ORDER, 1).random() == first
    others = [
        generator(5, Stream.PROMPT_ORDER, 2),
        generator(6, Stream.PROMPT_ORDER, 1),
        generator(5, Stream.CALIBRATION, 1),
    ]
    assert all(g.random() != first for g in others)


def test_think_times_are_never_negative() -> None:
    wild = Distribution("normal", {"mean": 0.0, "sd": 1.0})
    times = [think_time_s(wild, 1, user, request) for user in range(5) for request in range(40)]
    assert min(times) == 0.0
    assert max(times) > 0.5
    assert think_time_s(None, 1, 0, 0) == 0.0


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("fixed", {"value": 7}, 7.0),
        ("uniform", {"low": 2, "high": 9}, 9.0),
        ("normal", {"mean": 100, "sd": 30}, 100 + 1.6448536 * 30),
        ("lognormal", {"median": 100, "p95": 400}, 400.0),
        ("choice", {"values": [5, 800, 6], "weights": [1, 0, 1]}, 6.0),
    ],
)
def test_the_usual_largest_value(kind, params, expected) -> None:
    assert largest(Distribution(kind, params)) == pytest.approx(expected)
