"""Promises: what must hold at a load, and whether a probe kept them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import (
    Bound,
    Verdict,
    backlog_grows,
    percentile_bound,
    settled,
    share_bound,
    together,
)
from bench.analysis.capacity.limit import ProbeShare
from bench.analysis.columns import Columns, Floats
from bench.analysis.latency import latencies
from bench.errors import UsageError
from bench.scenario.thresholds import Threshold, parse_threshold

ERROR_RATE = "error_rate"

_PERCENTILE = re.compile(r"p(\d+)")


def check_promise(threshold: Threshold) -> str:
    """Why a threshold cannot be searched for; "" if it can.

    A promise is an upper limit of a percentile of a per-request time, or of the error rate.
    """
    if threshold.op not in ("<=", "<"):
        advice = ""
        if threshold.metric == "decode_tok_per_s":
            advice = f": say tpot_s.p95 <= {1 / threshold.value:.3g} instead"
        return f"{threshold.text}: a promise is an upper limit{advice}"
    if threshold.metric == ERROR_RATE:
        return ""
    if not _PERCENTILE.fullmatch(threshold.statistic):
        return (
            f"{threshold.text}: a promise is about a percentile of a time, e.g. ttft_s.p95 <= 2, "
            "or about error_rate"
        )
    if threshold.metric == "itl_s":
        return f"{threshold.text}: say tpot_s, the time per token of a request"
    return ""


def parse_promises(expressions: Sequence[str]) -> tuple[Threshold, ...]:
    """Read promises, telling all that is wrong at once.

    Raises:
        UsageError: one is no promise.
    """
    found, wrong = [], []
    for text in expressions:
        try:
            promise = parse_threshold(text)
        except ValueError as error:
            wrong.append(f"{text}: {error}")
            continue
        problem = check_promise(promise)
        if problem:
            wrong.append(problem)
        found.append(promise)
    if not expressions:
        wrong.append("no promise is given: say what must hold, e.g. --slo 'ttft_s.p95<=2'")
    if wrong:
        raise UsageError("\n".join(wrong))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Kept:
    """One promise at one probe.

    Attributes:
        promise: as written.
        bound: the percentile (or share) with its one-sided 95 % bounds.
        share: share of the last try's requests in time, for the fit of the limit; None for the
            error rate.
    """

    promise: str
    bound: Bound
    verdict: Verdict
    share: ProbeShare | None = None


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """What one try of a probe says, before it is judged.

    Attributes:
        values: for each promise the latencies of the settled part, in order of arrival, infinite
            where there was no answer; for the error rate 1 for each failure and 0 for the others.
        found: how many open requests each arrival of the settled part found.
    """

    values: tuple[Floats, ...]
    found: Floats


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """All promises at one probe.

    Attributes:
        growing: the backlog grew through the probe, so that it would fail if it lasted.
        verdict: what is proven.
        leans: what the percentiles themselves say, without their bounds.
    """

    kept: tuple[Kept, ...]
    growing: bool
    verdict: Verdict
    leans: Verdict


def sample_probe(measured: Columns, promises: Sequence[Threshold], dropped: int = 0) -> ProbeSample:
    """What one try of a probe says of the promises.

    Args:
        measured: its measured requests, failed ones among them.
        promises: that `check_promise` accepts.
        dropped: arrivals that were not even sent; each breaks every promise.
    """
    columns = measured.select(np.argsort(measured.start_ns, kind="stable"))
    failed = ~columns.ok
    times = latencies(columns)
    values = [
        np.concatenate([failed.astype(np.float64), np.ones(dropped)])
        if promise.metric == ERROR_RATE
        else _with_failures(times[promise.metric], failed, dropped)
        for promise in promises
    ]
    return ProbeSample(tuple(values), settled(_found_in_system(columns)))


def judge_probe(
    load: float, tries: Sequence[ProbeSample], promises: Sequence[Threshold]
) -> ProbeOutcome:
    """Judge a load by all that was tried at it.

    Args:
        load: of the probe.
        tries: the probe, and before it those that it extends.
        promises: of the samples, in their order.
    """
    kept = []
    for i, promise in enumerate(promises):
        pooled = np.concatenate([sample.values[i] for sample in tries])
        if promise.metric == ERROR_RATE:
            bound = share_bound(int(pooled.sum()), len(pooled))
            kept.append(Kept(promise.text, bound, bound.against(promise.value)))
            continue
        bound = percentile_bound(pooled, percentile_of(promise))
        share = ProbeShare.of(load, tries[-1].values[i], promise.value)
        kept.append(Kept(promise.text, bound, bound.against(promise.value), share))
    growing = backlog_grows(tries[-1].found)
    verdict = together([k.verdict for k in kept])
    if growing and verdict is Verdict.PASS:
        verdict = Verdict.UNDECIDED
    keeps = not growing and all(
        k.bound.value <= p.value for k, p in zip(kept, promises, strict=True)
    )
    return ProbeOutcome(tuple(kept), growing, verdict, Verdict.PASS if keeps else Verdict.FAIL)


def percentile_of(promise: Threshold) -> float:
    """0.95 for a promise about p95."""
    match = _PERCENTILE.fullmatch(promise.statistic)
    assert match is not None
    digits = match.group(1)
    return float(f"0.{digits}")


def _with_failures(values: Floats, failed: np.ndarray, dropped: int) -> Floats:
    """The settled part of a probe; whatever got no answer waited for ever."""
    told = failed | ~np.isnan(values)
    waited = np.where(failed, np.inf, values)[told]
    return np.concatenate([settled(waited), np.full(dropped, np.inf)])


def _found_in_system(columns: Columns) -> Floats:
    """How many open requests each arrival found."""
    ends = np.sort(columns.end_ns[~np.isnan(columns.end_ns)])
    left = np.searchsorted(ends, columns.start_ns, side="right")
    return np.arange(len(columns), dtype=np.float64) - left
