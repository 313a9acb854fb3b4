"""A queue's memory, against AR(1) series, scipy and simulated queues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from many_queues import as_shown, first_texts

from bench.stats.batches import batch_mean, batch_quantile
from bench.stats.queue_memory import (
    LoadMemory,
    backlog_growth,
    judge,
    load_memory,
    memory_of_load,
    memory_of_series,
    queue_series,
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
    assert load_memory(many, 2.0, 4, 1.0).requests == pytest.approx(exact, rel=0.03)
    of_few = load_memory(few, 2.0, 4, 1.0).requests
    assert of_few > load_memory(few.repeat(100), 2.0, 4, 1.0).requests


def test_a_bound_from_above_counts_only_for_what_may_hold_a_wait():
    quiet = [np.random.default_rng(3).lognormal(0, 0.1, 500)]
    full = queue_series(quiet, LoadMemory(100.0))
    assert full.memory(0.5) == full.memory(0.95) == 100.0
    free = queue_series(quiet, LoadMemory(100.0, at_most=True))
    assert free.memory(0.5) < 5
    assert free.memory(0.95) == 100.0
    # A queue before the server's own clock: no slot was short, and yet neighbours are alike.
    alike = queue_series([np.exp(ar1(np.random.default_rng(3), 500, 0.9))], free.by_load)
    assert alike.memory(0.5) == 100.0
    assert judge(replace(alike, by_load=LoadMemory(1.0, at_most=True, apart=True)), 0.5).luck


def test_what_only_the_measured_requests_tell_must_be_narrow():
    rng = np.random.default_rng(10)
    wide, narrow = [rng.lognormal(0, 1.0, 300)], [rng.lognormal(0, 0.1, 300)]
    for blocks, shown in ((wide, False), (narrow, True)):
        assert judge(queue_series(blocks, LoadMemory(1.0, apart=True)), 0.5).interval
        for by_load in (LoadMemory(1.0), None):
            judged = judge(queue_series(blocks, by_load), 0.5)
            assert (judged.interval is not None) == shown
            assert judged.luck == (not shown)
    assert judged.needs is None
    assert judge(queue_series(wide, None), 0.5).needs > 300


def test_batches_that_agree_by_luck_do_not_narrow_a_percentile() -> None:
    """Batches in a row of a queue with a long memory once held p95 in 89 % only: too narrow."""
    alike = np.tile(np.random.default_rng(11).lognormal(0, 0.5, 500), 12)
    for memory in (10.0, 40.0):
        judged = judge(queue_series([alike], LoadMemory(memory, apart=True)), 0.95).interval
        share = 0.7 * 1.1 * 0.95**1.3 * np.sqrt(0.95 * 0.05 * memory / len(alike))
        reach = scipy.stats.t.ppf(0.975, 5) * share / (0.95 * 0.05)
        ends = 1 / (1 + np.exp(-np.log(19) + np.array([reach, -reach])))
        assert (judged.low, judged.high) == pytest.approx(tuple(np.quantile(alike, ends)))


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


@pytest.fixture(scope="module")
def long_runs():
    """Times to first text of M/G/4 after its empty start, by load."""
    rng = np.random.default_rng(9)
    return {load: first_texts(load, 12_000, 150, rng)[0][:, 4000:] for load in (0.5, 0.8, 0.9)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "n", "p", "least"),
    [
        (0.5, 190, 0.5, 0.5),
        (0.5, 240, 0.5, 0.95),
        (0.5, 900, 0.95, 0.5),
        # Around as many requests as it takes, half of the runs show it: not the lucky half.
        (0.8, 2300, 0.5, 0.2),
        (0.8, 3000, 0.5, 0.9),
        (0.9, 10_000, 0.5, 0.2),
    ],
)
def test_what_is_given_of_a_queue_is_true(long_runs, load, n, p, least):
    """Of M/G/4; the benchmark `tests/performance/open_loop_settling.py` has more of it."""
    draws, settle = 400, n // 4
    rng = np.random.default_rng(round(1000 * load + n))
    waits, service = first_texts(load, n + settle, draws, rng)
    truth = np.quantile(long_runs[load], p)
    shown = [
        as_shown(w[None], s[None], settle, p, load) for w, s in zip(waits, service, strict=True)
    ]
    found = [f for f in shown if f is not None]
    errors = np.array([f.value / truth - 1 for f in found])
    assert len(found) >= least * draws
    # Three standard errors of a mean of so many draws beside the bar of 5 %, and of 90 %.
    noise = 3 * np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 0.05 + noise
    covered = [f.low <= truth <= f.high for f in found]
    assert np.mean(covered) > 0.90 - 3 * np.sqrt(0.09 / len(covered))
    # What decides is not what is shown: those that are and the others do not differ.
    plain = np.quantile(waits[:, settle:], p, axis=1) / truth - 1
    if 20 < len(found) < draws - 20:
        given_ = np.array([f is not None for f in shown])
        apart = abs(plain[given_].mean() - plain[~given_].mean())
        assert apart < 3 * plain.std() * np.sqrt(1 / len(found) + 1 / (draws - len(found)))


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1200])
def test_an_open_loop_that_did_not_settle_shows_no_lucky_runs(long_runs, n):
    """Where the measured requests tell the load, the luckiest would be shown."""
    waits, service = first_texts(0.8, n, 200, np.random.default_rng(n))
    for p in (0.5, 0.95):
        shown = [as_shown(w[None], s[None], 0, p, 0.8) for w, s in zip(waits, service, strict=True)]
        assert sum(f is not None for f in shown) <= 10
    quiet, service = first_texts(0.5, n, 200, np.random.default_rng(n))
    shown = [as_shown(w[None], s[None], 0, 0.5, 0.5) for w, s in zip(quiet, service, strict=True)]
    found = [f.value / np.median(long_runs[0.5]) - 1 for f in shown if f is not None]
    assert len(found) > 180
    assert abs(np.mean(found)) < 0.01


@pytest.mark.slow
def test_the_luckiest_tail_of_a_loop_that_did_not_settle_is_not_shown():
    """In one or two of 100 such runs the batches agree by luck; their p95 is 9 % low."""
    waits, service = first_texts(0.8, 10_000, 300, np.random.default_rng(21))
    shown = [as_shown(w[None], s[None], 0, 0.95, 0.8) for w, s in zip(waits, service, strict=True)]
    assert shown == [None] * 300


@pytest.mark.slow
@pytest.mark.parametrize("n", [750, 2000])
def test_a_tail_where_waiting_begins_is_not_shown(n):
    """At 35 % load of four slots 94 % need not wait: p95 is 15 and 8 % too high on average."""
    waits, service = first_texts(0.35, n + n // 4, 400, np.random.default_rng(n))
    shown = [
        as_shown(w[None], s[None], n // 4, 0.95, 0.35) for w, s in zip(waits, service, strict=True)
    ]
    assert sum(f is not None for f in shown) < 0.1 * len(shown)
    judged = judge(queue_series([waits[0, n // 4 :]], load_memory(service[0], 0.28, 4, 1.0)), 0.95)
    assert judged.edge
    assert judged.needs > n


@pytest.mark.parametrize("n", [25, 75, 400])
def test_what_cannot_be_known_of_a_busy_queue_is_not_given(n):
    waits, service = first_texts(0.8, n + n // 4, 100, np.random.default_rng(n))
    shown = [
        as_shown(w[None], s[None], n // 4, 0.95, 0.8) for w, s in zip(waits, service, strict=True)
    ]
    assert shown == [None] * 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slots", "load", "n"), [(4, 0.43, 400), (16, 0.65, 800), (16, 0.65, 1600)]
)
def test_runs_in_which_few_happened_to_wait_are_not_chosen(slots, load, n):
    """Where under a tenth waited, there may be free slots; but not all such runs are typical."""
    waits, _ = first_texts(load, n, 200, np.random.default_rng(n), slots)
    told = LoadMemory(memory_of_load(load, 1.0, 0.16), at_most=True, apart=True)
    shown = [judge(queue_series([w], told), 0.95).interval for w in waits]
    assert shown == [None] * 200


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
