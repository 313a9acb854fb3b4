"""Promises: what must hold at a load, and whether a probe kept them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import (
    Bound,
    ProbeVerdict,
    backlog_grows,
    batches_for,
    least_requests,
    least_without_failure,
    percentile_bound,
    share_bound,
    together,
)
from bench.analysis.capacity.limit import ProbeShare
from bench.analysis.capacity.probe import By
from bench.analysis.run.case_metrics import FIELDS_BEHIND
from bench.analysis.run.columns import Columns, Floats
from bench.analysis.run.evidence import NO_TIME_PER_TOKEN, missing, note, shapes
from bench.analysis.run.latency import latencies
from bench.errors import MeasurementInvalid, UsageError
from bench.thresholds import Threshold, parse_threshold

ERROR_RATE = "error_rate"
OF_SESSIONS = ("user_turn_s", "answer_start_s", "first_turn_ttft_s", "later_ttft_s")
"""Times that only whole sessions have."""


def check_promise(threshold: Threshold) -> str:
    """Why a threshold cannot be searched for; "" if it can.

    A promise is an upper limit of a percentile of a per-request time, or of the error rate.
    """
    kind = threshold.kind
    if kind.kind == "token_rate":
        sensible = threshold.value > 0 and not threshold.is_upper_limit
        usual = 1 / threshold.value if sensible else 0.05
        return (
            f"{threshold.text}: a promise is about times, not speeds: say "
            f"tpot_s.p95 <= {usual:.3g} instead, the time per token"
        )
    if threshold.metric == ERROR_RATE and threshold.is_upper_limit:
        return ""
    if kind.kind != "time" or threshold.quantile is None:
        return (
            f"{threshold.text}: a promise is about a percentile of a time, e.g. ttft_s.p95 <= 2, "
            "or about error_rate"
        )
    if not threshold.is_upper_limit:
        return f"{threshold.text}: a promise is an upper limit, e.g. {threshold.ref} <= 2"
    if threshold.metric == "itl_s":
        return f"{threshold.text}: say tpot_s, the time per token of a request"
    if threshold.value <= 0:
        return f"{threshold.text}: no server takes no time: say e.g. {threshold.ref} <= 2"
    return ""


def parse_promises(expressions: Sequence[str], by: By = "sessions") -> tuple[Threshold, ...]:
    """Read the promises of a search, naming everything that is wrong at once.

    Raises:
        UsageError: one is no promise, or is about sessions where they are not played whole.
    """
    found, wrong = [], []
    for text in expressions:
        try:
            promise = parse_threshold(text)
        except ValueError as error:
            wrong.append(f"--slo {text}: {error}")
            continue
        problem = check_promise(promise)
        if problem:
            wrong.append(f"--slo {problem}")
        found.append(promise)
    if not expressions:
        wrong.append("no promise is given: say what must hold, e.g. --slo 'ttft_s.p95<=2'")
    if wrong:
        raise UsageError("\n".join(wrong))
    turns = [p.text for p in found if p.metric in OF_SESSIONS]
    if turns and by != "sessions":
        raise UsageError(
            f"{turns[0]} is a time of sessions, and --by {by} does not play them to their end",
            "Search with --by sessions: how many can go on at once?",
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class PromiseAtProbe:
    """One promise at one probe.

    Attributes:
        bound: the percentile (or share) with its one-sided 97.5 % bounds.
        share: share of the last try's requests in time, for the fit of the limit; None for the
            error rate.
    """

    promise: Threshold
    bound: Bound
    share: ProbeShare | None = None

    @property
    def verdict(self) -> ProbeVerdict:
        """Kept, broken, or neither proven."""
        return self.bound.against(self.promise.value)

    @property
    def in_time(self) -> float | None:
        """That share as a number; None for the error rate, and if nothing was left to judge."""
        return self.share.kept / self.share.requests if self.share and self.share.requests else None


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """What one try of a probe says, before it is judged.

    Attributes:
        values: for each promise the latencies after settling, in order of arrival, infinite
            where there was no answer; for the error rate 1 for each failure and 0 for the others.
        found: how many open requests each of these arrivals found.
    """

    values: tuple[Floats, ...]
    found: Floats

    @property
    def judged(self) -> int:
        """Values of the promise that has the fewest."""
        return min((len(v) for v in self.values), default=0)


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """All promises at one probe.

    Attributes:
        growing: the backlog grew through the probe, so that it would fail if it lasted.
        verdict: what is proven.
        leans: what the percentiles themselves say, without their bounds.
    """

    kept: tuple[PromiseAtProbe, ...]
    growing: bool
    verdict: ProbeVerdict
    leans: ProbeVerdict


def sample_probe(
    measured: Columns, promises: Sequence[Threshold], dropped: int = 0, settle: int = 0
) -> ProbeSample:
    """What one try of a probe says of the promises.

    Failed requests are among the measured. A dropped arrival breaks every promise; the first
    `settle` arrivals came to fill the server, and are not judged.
    """
    columns = measured.select(np.argsort(measured.start_ns, kind="stable"))
    found = _found_in_system(columns)[settle:]
    columns = columns.select(np.arange(min(settle, len(columns)), len(columns)))
    values = [
        np.concatenate([(~columns.ok).astype(np.float64), np.ones(dropped)])
        if promise.metric == ERROR_RATE
        else np.concatenate([waited(columns, promise), np.full(dropped, np.inf)])
        for promise in promises
    ]
    return ProbeSample(tuple(values), found)


def judge_probe(
    load: float,
    tries: Sequence[ProbeSample],
    promises: Sequence[Threshold],
    *,
    can_prove: bool = True,
    memory: float = math.inf,
) -> ProbeOutcome:
    """Judge a load by all that was tried at it.

    Unless it `can_prove`, it is so short against the queue's memory that nothing is proven, except
    that a backlog which grows breaks the promise. The memory is in requests; infinite = unknown.
    """
    kept = []
    for i, promise in enumerate(promises):
        pooled = np.concatenate([sample.values[i] for sample in tries])
        if promise.metric == ERROR_RATE:
            kept.append(PromiseAtProbe(promise, share_bound(int(pooled.sum()), len(pooled))))
            continue
        batches = batches_for(len(pooled), memory)
        bound = percentile_bound(pooled, percentile_of(promise), batches)
        share = ProbeShare.of(load, tries[-1].values[i], promise.value)
        kept.append(PromiseAtProbe(promise, bound, share))
    growing = backlog_grows(tries[-1].found)
    verdict = together([k.verdict for k in kept])
    if (growing and verdict is ProbeVerdict.PASS) or not (growing or can_prove):
        verdict = ProbeVerdict.UNDECIDED
    keeps = not growing and all(k.bound.value <= k.promise.value for k in kept)
    leans = ProbeVerdict.PASS if keeps else ProbeVerdict.FAIL
    return ProbeOutcome(tuple(kept), growing, verdict, leans)


def percentile_of(promise: Threshold) -> float:
    """0.95 for a promise about p95."""
    assert promise.quantile is not None
    return promise.quantile


def least_to_prove(promise: Threshold) -> int:
    """So many requests can prove a promise kept, if all goes well."""
    if promise.metric == ERROR_RATE:
        return least_without_failure(max(promise.value, 1e-3))
    return least_requests(percentile_of(promise))


def waited(columns: Columns, promise: Threshold) -> Floats:
    """The promised time of each request, in order of rows.

    Infinite where there was no answer, or where an answer lacks what must be in it, such as a first
    word; what need not be there (time per token of a one-token answer) is left out.
    """
    values = latencies(columns)[promise.metric]
    lacks = np.isnan(values) if promise.kind.missing == "never" else np.zeros(len(values), bool)
    waits = np.where(~columns.ok | lacks, np.inf, values)
    return waits[~np.isnan(waits)]


def check_judgeable(measured: Columns, promises: Sequence[Threshold]) -> None:
    """Refuses to go on where answers came, but none of them has what is promised.

    Raises:
        MeasurementInvalid: a promise can be neither kept nor broken by such answers.
    """
    ok = measured.select(measured.ok)
    for promise in promises:
        if not len(ok) or promise.metric == ERROR_RATE or promise.kind.missing == "never":
            continue
        if not np.isnan(latencies(ok)[promise.metric]).all():
            continue
        metric = promise.metric
        held = shapes(ok, NO_TIME_PER_TOKEN) if metric == "tpot_s" else []
        unsaid = missing(ok, FIELDS_BEHIND.get(metric, ("output_tokens",)))
        why = note(np.ones(len(ok), dtype=np.bool_), [*held, *unsaid])
        raise MeasurementInvalid(
            f"{promise.text} cannot be judged: none of {len(ok)} answers has a {metric}"
            + (f": {why}" if why else ""),
            "Find what holds the stream back, a proxy or a client that reads late; or promise "
            "something else: e2e_s, say."
            if any(rows.any() for _, rows in held)
            else "Promise what is seen without the server's word: e2e_s, say.",
        )


def _found_in_system(columns: Columns) -> Floats:
    """How many open requests each arrival found."""
    ends = np.sort(columns.end_ns[~np.isnan(columns.end_ns)])
    left = np.searchsorted(ends, columns.start_ns, side="right")
    return np.arange(len(columns), dtype=np.float64) - left
