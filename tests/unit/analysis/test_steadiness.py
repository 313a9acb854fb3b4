"""The steadiness label: what it finds, and how often it cries wolf (seeded simulation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.analysis.columns import Floats
from bench.analysis.steadiness import drift_p, find_change, means_of_neighbours, step_p
from bench.results.record import RequestRecord

REPETITIONS = 100


def labelled(make: Callable[[np.random.Generator], Floats]) -> float:
    rng = np.random.default_rng(20260101)
    return sum(find_change(make(rng)) is not None for _ in range(REPETITIONS)) / REPETITIONS


def noise(rng: np.random.Generator, n: int = 40) -> Floats:
    return rng.normal(0, 0.02, n)


def correlated(rng: np.random.Generator, n: int = 100, r: float = 0.6) -> Floats:
    shocks = rng.normal(0, 0.02 * np.sqrt(1 - r * r), n + 50)
    series = np.zeros(n + 50)
    for i in range(1, n + 50):
        series[i] = r * series[i - 1] + shocks[i]
    return series[50:]


def step(size: float, n: int = 40) -> Floats:
    return np.where(np.arange(n) >= n // 2, size, 0.0)


def test_steady_runs_are_rarely_labelled() -> None:
    assert labelled(noise) <= 0.06  # nominal: two tests at 1 %


def test_neighbours_that_resemble_each_other_are_rarely_labelled() -> None:
    # Unprotected, a third of these would be.
    assert labelled(correlated) <= 0.10


def test_a_step_of_three_percent_is_mostly_found() -> None:
    # 82-85 % at two percent of noise and 40 requests.
    assert 0.72 <= labelled(lambda rng: noise(rng) + step(-0.03)) <= 0.98


def test_a_step_of_ten_percent_is_found() -> None:
    assert labelled(lambda rng: noise(rng) + step(-0.1)) >= 0.98


def test_a_drift_of_three_percent_is_often_found() -> None:
    # 35-50 %.
    found = labelled(lambda rng: noise(rng) + np.linspace(0, -0.03, 40))
    assert 0.3 <= found <= 0.7


def test_a_change_below_one_percent_is_not_worth_a_label() -> None:
    rng = np.random.default_rng(1)
    assert find_change(rng.normal(0, 0.001, 400) + step(-0.005, 400)) is None


def test_a_step_has_its_place_and_size() -> None:
    change = find_change(noise(np.random.default_rng(2), 60) + step(np.log(0.91), 60))
    assert change is not None
    assert change.kind == "step"
    assert change.at == pytest.approx(30, abs=2)
    assert change.size == pytest.approx(-0.09, abs=0.02)


def test_a_drift_has_its_size_over_the_whole() -> None:
    change = find_change(noise(np.random.default_rng(2), 80) + np.linspace(0, np.log(0.8), 80))
    assert change is not None
    assert change.kind == "drift"
    assert change.size == pytest.approx(-0.2, abs=0.03)


def test_one_outlier_is_no_step() -> None:
    series = noise(np.random.default_rng(5))
    series[20] = 3.0
    assert find_change(series) is None


def test_a_constant_series_is_steady() -> None:
    assert find_change(np.zeros(50)) is None


def test_long_series_are_tested_on_means() -> None:
    rng = np.random.default_rng(3)
    change = find_change(rng.normal(0, 0.02, 5000) + step(-0.05, 5000))
    assert change is not None
    assert change.at == pytest.approx(2500, abs=50)


def test_drift_is_kendalls_tau() -> None:
    rng = np.random.default_rng(4)
    series = rng.normal(0, 1, 50) + np.arange(50) / 50
    scipys = stats.kendalltau(np.arange(50), series, method="asymptotic").pvalue
    assert drift_p(series) == pytest.approx(scipys, rel=0.05)


def test_the_p_value_does_not_depend_on_chance() -> None:
    series = noise(np.random.default_rng(6))
    assert step_p(series, 1) == step_p(series, 1)


def test_means_of_neighbours() -> None:
    assert means_of_neighbours(np.array([1.0, 3.0, 5.0, 7.0, 9.0]), 2).tolist() == [2, 6, 9]


Request = Callable[..., RequestRecord]


def series_of(a_request: Request, speeds: Floats, **other: object) -> list[RequestRecord]:
    """Requests one after the other, at these speeds (tok/s)."""
    return [
        a_request(10.0 * i, tokens=101, decode=100 / s, index=i, **other)
        for i, s in enumerate(speeds.tolist())
    ]


def test_a_case_that_slows_down_is_labelled_with_the_request(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(8)
    speeds = 50 * np.exp(rng.normal(0, 0.01, 40) + step(np.log(0.9)))
    case = run_of(series_of(a_request, speeds)).case_summary()
    assert case.steadiness.steady is False
    assert case.steadiness.message.startswith("step of -1")
    assert "decode speed at request 2" in case.steadiness.message
    # Nothing is deleted for it.
    assert case.metrics["decode_tok_per_s"].n == 40


def test_growing_prompts_are_no_drift(run_of: Callable[..., Any], a_request: Request) -> None:
    """Decoding slows with the context: known, so it is taken out first."""
    rng = np.random.default_rng(9)
    sizes = np.linspace(100, 4000, 40)
    speeds = 50 * np.exp(rng.normal(0, 0.01, 40) - sizes / 8000)
    records = [
        a_request(10.0 * i, tokens=101, decode=100 / v, prompt_tokens=round(size), index=i)
        for i, (v, size) in enumerate(zip(speeds.tolist(), sizes.tolist(), strict=True))
    ]
    case = run_of(records).case_summary()
    assert case.steadiness.steady is True


def test_few_requests_tell_nothing(run_of: Callable[..., Any], a_request: Request) -> None:
    records = series_of(a_request, np.full(19, 50.0))
    case = run_of(records).case_summary()
    assert case.steadiness.steady is None
