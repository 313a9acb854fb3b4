from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.scenario.arrivals import arrival_offsets_ns
from bench.scenario.plan import Arrivals, Load


def _open(kind: str, rate: float | None = 2.0, **limits: object) -> Load:
    arrivals = Arrivals(kind, **limits.pop("arrivals", {}))  # type: ignore[arg-type]
    return Load("open", rate_per_s=rate, arrivals=arrivals, **limits)  # type: ignore[arg-type]


def test_constant_arrivals_are_exact() -> None:
    offsets = arrival_offsets_ns(_open("constant", 4.0, requests=5), 1)
    assert offsets.tolist() == [0, 250_000_000, 500_000_000, 750_000_000, 1_000_000_000]


@pytest.mark.parametrize(("rate", "duration", "count"), [(2.0, 3.0, 6), (0.3, 10.0, 3), (7, 1, 7)])
def test_constant_arrivals_fill_the_duration(rate: float, duration: float, count: int) -> None:
    offsets = arrival_offsets_ns(_open("constant", rate, duration_s=duration), 1)
    assert len(offsets) == count
    assert offsets[-1] < duration * 1e9


def test_poisson_gaps_are_exponential() -> None:
    offsets = arrival_offsets_ns(_open("poisson", 5.0, requests=20_000), 3)
    gaps = np.diff(offsets, prepend=0) / 1e9
    assert stats.kstest(gaps, stats.expon(scale=0.2).cdf).pvalue > 0.001
    assert gaps.mean() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("burstiness", [0.25, 3.0])
def test_gamma_gaps_have_the_burstiness(burstiness: float) -> None:
    load = _open("gamma", 5.0, requests=20_000, arrivals={"burstiness": burstiness})
    gaps = np.diff(arrival_offsets_ns(load, 3), prepend=0) / 1e9
    law = stats.gamma(1 / burstiness, scale=0.2 * burstiness)
    assert stats.kstest(gaps, law.cdf).pvalue > 0.001
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(burstiness, rel=0.1)


def test_counts_in_a_duration_are_poisson() -> None:
    load = _open("poisson", 4.0, duration_s=5.0)
    counts = np.array([len(arrival_offsets_ns(load, seed)) for seed in range(1500)])
    assert counts.mean() == pytest.approx(20, rel=0.03)
    assert counts.var() == pytest.approx(20, rel=0.15)


def test_arrivals_in_a_duration_are_spread_evenly() -> None:
    offsets = arrival_offsets_ns(_open("poisson", 100.0, duration_s=100.0), 8) / 1e9
    assert stats.kstest(offsets, stats.uniform(0, 100).cdf).pvalue > 0.001


@given(
    st.sampled_from(["constant", "poisson", "gamma"]),
    st.floats(0.1, 50),
    st.integers(1, 300),
    st.integers(0, 2**40),
)
def test_requests_are_counted_exactly(kind: str, rate: float, requests: int, seed: int) -> None:
    offsets = arrival_offsets_ns(_open(kind, rate, requests=requests), seed)
    assert len(offsets) == requests
    assert offsets[0] >= 0
    assert (np.diff(offsets) >= 0).all()
    assert (offsets == arrival_offsets_ns(_open(kind, rate, requests=requests), seed)).all()


def test_both_limits_hold() -> None:
    few = arrival_offsets_ns(_open("poisson", 10.0, requests=5, duration_s=100.0), 1)
    short = arrival_offsets_ns(_open("poisson", 10.0, requests=5000, duration_s=1.0), 1)
    assert len(few) == 5
    assert short[-1] < 1e9


def test_a_trace_is_played_as_it_stands() -> None:
    trace = {"times_s": (0.0, 0.5, 4.0, 9.0), "time_scale": 2.0}
    load = _open("trace", None, arrivals=trace, duration_s=10.0)
    assert arrival_offsets_ns(load, 1).tolist() == [0, 1_000_000_000, 8_000_000_000]


def test_seeds_differ() -> None:
    load = _open("poisson", requests=10)
    assert (arrival_offsets_ns(load, 1) != arrival_offsets_ns(load, 2)).all()


def test_without_a_limit_there_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="requests or a duration"):
        arrival_offsets_ns(_open("poisson"), 1)
    with pytest.raises(ValueError, match="closed"):
        arrival_offsets_ns(Load("closed", users=1, requests=1), 1)
