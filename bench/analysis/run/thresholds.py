"""Thresholds, judged on a case; and what can be said of them before anything is measured.

A request that never got the thing counts as infinitely late, as in a search for capacity: whoever
waits for an answer does not care that those who got one got it soon. So the percentile that is
judged may be later than the one in the tables, which describe the requests that ended well.

The point estimate decides where the data carry it. A percentile that they do not carry is judged
neither way, unless it is broken beyond doubt (`bench.stats.broken_quantile`). A metric without
samples fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Ints, Sample, one_per_request
from bench.analysis.run.open_loop import QUEUEING
from bench.analysis.run.summary import Estimate, Metric, ThresholdResult, ThresholdVerdict
from bench.metrics import METRICS, MetricKind
from bench.scenario.estimate import Range, estimate
from bench.scenario.plan import Case, Plan
from bench.stats.broken_quantile import broken_beyond_doubt
from bench.stats.quantiles import order_statistics, read_quantile, requests_needed
from bench.stats.queue_memory import requests_for_quantile
from bench.thresholds import Threshold

_NEVER_S = 1e9
"""Stands for infinity in quantiles, which interpolate; what comes out above `_LATE_S` is one."""
_LATE_S = 1e5


def judge(threshold: Threshold, data: CaseData, metrics: dict[str, Metric]) -> ThresholdResult:
    """One threshold on one case."""
    kind = METRICS.get(threshold.metric)
    result = ThresholdResult(threshold, data.case.id, ThresholdVerdict.NOT_MET)
    if kind is None:
        return replace(result, note="this version has no such metric")
    metric = metrics[threshold.metric]
    late = _never_got_it(kind, data)
    result = replace(result, note=_lateness(len(late), len(data.judged) + data.dropped))
    estimate = _estimate(threshold, data, metric, late) if metric.n else None
    if estimate is None:
        return replace(result, note=_joined(f"no samples: {metric.note}", result.note))
    if estimate.value is None:
        return _unsupported(result, estimate, _sample(kind, data, late))
    verdict = ThresholdVerdict.MET if threshold.holds(estimate.value) else result.verdict
    return replace(
        result,
        verdict=verdict,
        value=_finite(estimate.value),
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        note=_joined(result.note, _no_interval(estimate)),
    )


def _never_got_it(kind: MetricKind, data: CaseData) -> Ints:
    """The blocks of the requests that never got the thing, one entry a request."""
    if not kind.missing or (kind.streamed and not data.case.stream):
        return np.zeros(0, dtype=np.int64)
    failed = data.judged.block[~data.judged.ok]
    dropped = [np.full(info.dropped, i, dtype=np.int64) for i, info in data.infos.items()]
    without = np.zeros(0, dtype=np.int64)
    if kind.missing == "never":
        without = data.ok.block[np.isnan(data.times[kind.id])]
    return np.concatenate([failed, without, *dropped])


def _estimate(threshold: Threshold, data: CaseData, metric: Metric, late: Ints) -> Estimate | None:
    """The statistic that is judged, infinite where it would be; None if there is none."""
    plain = metric.stats.get(threshold.statistic or "value")
    if not len(late) or threshold.statistic == "min":
        return plain
    p = threshold.quantile
    if p is None:
        return Estimate(math.inf, method="")
    sample = _sample(threshold.kind, data, late)
    assert sample is not None
    bounds = order_statistics(len(sample.blocks), p)
    if bounds.low is None or bounds.high is None:
        return Estimate(None, needs=requests_needed(p), method=bounds.method)
    # Never has no spread, so there is no interval that would hold.
    value = _or_never(read_quantile(np.sort(sample.values), p))
    return Estimate(value, method="requests that never got it have no spread")


def _sample(kind: MetricKind, data: CaseData, late: Ints) -> Sample | None:
    """The values of single requests, those that never came with them; None for gaps."""
    values = data.per_request(kind.id)
    if values is None:
        return None
    return one_per_request(
        np.concatenate([values, np.full(len(late), _NEVER_S)]),
        np.concatenate([data.ok.block, late]),
    )


def _unsupported(
    result: ThresholdResult, estimate: Estimate, sample: Sample | None
) -> ThresholdResult:
    """What the data do not carry: a percentile broken beyond doubt, or judged neither way."""
    threshold, p = result.threshold, result.threshold.quantile
    why = f"{threshold.statistic} {estimate.needed}" if estimate.needs else estimate.method
    result = replace(result, needs=estimate.needs)
    if sample is None or p is None:
        note = _joined(result.note, why)
        return replace(result, verdict=ThresholdVerdict.UNSUPPORTED, note=note)
    n = len(sample.values)
    here = _or_never(read_quantile(np.sort(sample.values), p))
    wrong = ~threshold.holds(sample.values)
    allowed = 1 - p if threshold.is_upper_limit else p
    if not threshold.holds(here) and broken_beyond_doubt(wrong, sample.blocks, allowed):
        return replace(
            result,
            value=_finite(here),
            note=_joined(
                result.note,
                f"{int(wrong.sum()):,} of {n:,} requests do not keep it, which is no accident",
            ),
        )
    of_these = _in_unit(here, threshold.kind.unit)
    return replace(
        result,
        verdict=ThresholdVerdict.UNSUPPORTED,
        value=_finite(here),
        note=_joined(result.note, why, f"of these {n:,} alone it is {of_these}"),
    )


def _or_never(value: float | None) -> float | None:
    return math.inf if value is not None and value > _LATE_S else value


def _in_unit(value: float | None, unit: str) -> str:
    return "never" if value is None or math.isinf(value) else f"{value:.4g} {unit}"


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _finite(value: float | None) -> float | None:
    """Files have no infinity: never is no number."""
    return value if value is not None and math.isfinite(value) else None


def _lateness(late: int, of: int) -> str:
    if not late:
        return ""
    which = "1 request" if late == 1 else f"{late:,} requests"
    return f"{which} of {of:,} never got it and count as infinitely late"


def _no_interval(estimate: Estimate) -> str:
    bare = estimate.low is None and estimate.high is None and estimate.method
    return f"no interval: {estimate.needed or estimate.method}" if bare else ""


def threshold_lines(plan: Plan) -> list[str]:
    """The thresholds in words, and which of them the plan is too short for."""
    return [line for t in plan.thresholds for line in (f"{t}: {t.meaning}", *_too_short(t, plan))]


def _too_short(threshold: Threshold, plan: Plan) -> Iterator[str]:
    """The cases whose blocks hold too few requests for the percentile that is asked for."""
    p = threshold.quantile
    if p is None or threshold.metric == "itl_s":  # a request has many gaps: nobody knows how many
        return
    for case in plan.cases:
        needs = requests_needed(p)
        queued = case.load.loop == "open" and threshold.metric in QUEUEING
        if queued:  # what the queue remembers makes it more; it is not known beforehand
            needs = math.ceil(requests_for_quantile(p, 1.0))
        blocks, requests = _planned(case, plan)
        if requests.low >= needs or not blocks:
            continue
        low, high = round(requests.low), round(requests.high)
        count = f"{low:,} are planned" if low == high else f"{low:,} to {high:,} are expected"
        advice = ": let the load last longer, or set more blocks"
        if (each := case.load.requests) is not None:
            more = math.ceil(needs / blocks), math.ceil(needs / each)
            advice = f": set requests to {more[0]:,}, or blocks to {more[1]:,}"
        yield (
            f"  {'will' if requests.high < needs else 'may'} not be supported in {case.id}: "
            f"{threshold.statistic} needs {'at least ' if queued else ''}{needs:,} requests, and "
            f"{count} in {blocks} {'block' if blocks == 1 else 'blocks'}{advice}"
        )


def _planned(case: Case, plan: Plan) -> tuple[int, Range]:
    """Blocks of a case, and the requests of all of them together."""
    blocks = tuple(b for b in plan.blocks if b.case == case.id)
    return len(blocks), estimate(replace(plan, cases=(case,), blocks=blocks)).requests
