"""A queue's memory, against AR(1) series, scipy and simulated queues."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from many_queues import first_texts

from bench.stats.queue_memory import (
    LoadMemory,
    backlog_growth,
    batch_mean,
    batch_quantile,
    memory_of,
    memory_of_load,
    memory_of_series,
    memory_of_service,
    requests_for_quantile,
)


def ar1(rng, n, r):
    noise = rng.normal(0, 1, n)
    values = np.empty(n)
    values[0] = noise[0] / np.sqrt(1 - r * r)
    for i in range(1, n):
        values[i] = r * values[i - 1] + noise[i]
    return values


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_memory_of_a_first_order_series(r):
    """Its autocorrelations are r, r^2, ...: they sum to (1 + r) / (1 - r)."""
    rng = np.random.default_rng(1)
    pieces = [ar1(rng, 4000, r) for _ in range(5)]
    assert memory_of_series(pieces) == pytest.approx((1 + r) / (1 - r), rel=0.15)


def test_memory_of_what_never_varies_is_one_value():
    assert memory_of_series([np.ones(50)]) == 1.0
    assert memory_of_series([np.array([1.0])]) == 1.0


def test_memory_of_an_mm1_queue_in_heavy_traffic():
    """Relaxation time of M/M/1: s / (1 - sqrt(rho))^2, asymptotically 4 s / (1 - rho)^2; the
    formula's, 4 s rho / (1 - rho)^2, is the same when rho goes to 1, in arrivals twice times rate.
    """
    rho = 0.97
    relaxation = 1 / (1 - np.sqrt(rho)) ** 2
    assert memory_of_load(rho, 1.0, 1.0) == pytest.approx(2 * relaxation * rho, rel=0.05)


def test_a_full_queue_remembers_for_ever():
    assert memory_of_load(1.0, 1.0, 0.2) == np.inf
    assert requests_for_quantile(0.5, np.inf) == np.inf


def test_the_load_is_taken_at_the_upper_end_of_what_is_known():
    rng = np.random.default_rng(2)
    few, many = rng.lognormal(0, 0.4, 30), rng.lognormal(0, 0.4, 100_000)
    exact = memory_of_load(2.0 * many.mean() / 4, 1.0, many.var() / many.mean() ** 2)
    assert memory_of_service(many, 2.0, 4, 1.0) == pytest.approx(exact, rel=0.03)
    assert memory_of_service(few, 2.0, 4, 1.0) > memory_of_service(few.repeat(100), 2.0, 4, 1.0)


def test_a_bound_from_above_is_not_taken_for_the_memory():
    quiet = [np.random.default_rng(3).lognormal(0, 0.1, 500)]
    assert memory_of(quiet, LoadMemory(100.0)) == 100.0
    assert memory_of(quiet, LoadMemory(100.0, at_most=True)) < 5


def test_with_independent_values_the_share_is_the_binomials():
    """The logit's interval is, with many values, that of the normal approximation."""
    values = np.random.default_rng(4).permutation(np.arange(1.0, 10_001.0))
    found = batch_quantile([values], 0.5)
    low, high = scipy.stats.binom.ppf([0.025, 0.975], len(values), 0.5)
    t = scipy.stats.t.ppf(0.975, 11) / scipy.stats.norm.ppf(0.975)
    assert found.value == pytest.approx(5000.5)
    # Never narrower than the binomial's, and not much wider: its t has 11 degrees of freedom.
    assert found.low <= low
    assert found.high >= high
    assert found.high - found.low < 1.7 * t * (high - low)


def test_the_mean_of_batches_is_students():
    values = np.random.default_rng(5).exponential(1, 1200)
    found = batch_mean([values])
    means = values.reshape(12, 100).mean(axis=1)
    low, high = scipy.stats.t.interval(0.95, 11, means.mean(), means.std(ddof=1) / np.sqrt(12))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_blocks_that_differ_are_the_batches():
    rng = np.random.default_rng(6)
    blocks = [rng.normal(shift, 0.05, 200) for shift in (1.0, 1.2, 1.5)]
    found = batch_mean(blocks)
    assert found.method == "3 blocks"
    assert found.high - found.low > 1.0  # t has two degrees of freedom
    alike = [rng.normal(1.0, 0.05, 200) for _ in range(3)]
    assert batch_mean(alike).method == "12 batches in a row"


@given(
    st.lists(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=40), min_size=1, max_size=5),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_an_interval_holds_its_quantile(blocks, p):
    pieces = [np.array(b) for b in blocks]
    found = batch_quantile(pieces, p)
    assert found.value == pytest.approx(np.quantile(np.concatenate(pieces), p))
    assert found.low is None or found.low <= found.value * (1 + 1e-12)
    assert found.high is None or found.high >= found.value * (1 - 1e-12)


@pytest.mark.parametrize(("load", "n", "p"), [(0.5, 240, 0.5), (0.5, 900, 0.95), (0.8, 2400, 0.5)])
def test_what_is_given_of_a_queue_is_true(load, n, p):
    """Of M/G/4; the benchmark `tests/performance/open_loop_settling.py` has more of it."""
    draws, settle = 150, n // 4
    rng = np.random.default_rng(round(1000 * load + n))
    waits, service = first_texts(load, n + settle, draws, rng)
    long, _ = first_texts(load, 8000, 60, np.random.default_rng(9))
    truth = np.quantile(long[:, 3000:], p)
    errors, covered = [], []
    for series, work in zip(waits[:, settle:], service[:, settle:], strict=True):
        by_load = LoadMemory(memory_of_service(work, load * 4 / 5, 4, 1.0))
        if n < requests_for_quantile(p, memory_of([series], by_load)):
            continue
        found = batch_quantile([series], p)
        if found.low is not None and found.high is not None:
            errors.append(found.value / truth - 1)
            covered.append(found.low <= truth <= found.high)
    assert len(errors) > draws / 3
    # Three standard errors of a mean of so many draws beside the bar of 5 %, and of 90 %.
    noise = 3 * np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 0.05 + noise
    assert np.mean(covered) > 0.90 - 3 * np.sqrt(0.09 / len(covered))


@pytest.mark.parametrize("n", [25, 75, 400])
def test_what_cannot_be_known_of_a_busy_queue_is_not_given(n):
    rng = np.random.default_rng(n)
    waits, service = first_texts(0.8, n, 100, rng)
    given_ = 0
    for series, work in zip(waits, service, strict=True):
        by_load = LoadMemory(memory_of_service(work, 0.64, 4, 1.0))
        given_ += n >= requests_for_quantile(0.95, memory_of([series], by_load))
    assert given_ == 0


def test_a_backlog_that_grows_is_seen_and_one_that_wanders_is_not():
    rng = np.random.default_rng(7)
    growing = np.arange(200) * 0.3 + rng.normal(0, 3, 200)
    start, end = backlog_growth(np.maximum(growing, 0))
    assert end - start == pytest.approx(60, rel=0.1)
    assert backlog_growth(np.full(200, 5.0)) is None
    assert backlog_growth(np.arange(10.0)) is None


def test_a_stable_queue_is_seldom_called_overloaded():
    waits, _ = first_texts(0.8, 1500, 200, np.random.default_rng(8))
    # What an arrival waits for is proportional to what it found: in units of its own service.
    called = sum(backlog_growth(w[300:] * 4 / 5) is not None for w in waits)
    assert called <= 6
