"""Open loops: what their latencies can carry, and whether the server keeps up at all.

Only metrics that hold a wait in the server's queue are touched: their neighbours resemble each
other. One that the load's memory leaves too few independent requests for is not given; nor is any
where the backlog grew: such latencies grow with the length of the block and are no steady state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import SETTLE, WARMUP, Columns, Floats
from bench.analysis.run.latency import queue_ns
from bench.analysis.run.slots import Slots
from bench.analysis.run.summary import CaseSummary, Estimate, Metric
from bench.metrics import QUANTILES
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode
from bench.stats.queue_memory import (
    Judged,
    LoadMemory,
    backlog_growth,
    judge,
    load_memory,
    queue_series,
)

QUEUEING = ("ttft_s", "answer_ttft_s", "e2e_s", "total_s", "queue_s")
"""Metrics that hold the wait for a slot."""
OVERLOAD = "the backlog grew: not a steady state"
"""The note of a metric that holds a wait, where the server did not keep up."""
_TOO_SHORT = "the queue remembers too long for so few requests"
_AT_EDGE = "waiting begins near it: too high on average with so few requests"
_UNSETTLED = "only the measured requests tell how long the queue remembers"
_DROPPED_SHARE = 0.01
_MIN_WAITING = 10
_MIN_SERVED = 5


def overload(data: CaseData) -> tuple[int, float, float] | None:
    """Whether the backlog grew in most blocks of an open loop: the server cannot keep up.

    Returns:
        How many blocks show it, and the open requests at the begin and end of the worst of them.
    """
    if data.case.load.loop != "open":
        return None
    grown = []
    for index in data.block_order:
        block = data.sent.select(data.sent.block == index)
        info = data.infos.get(index)
        full = info is not None and info.dropped > _DROPPED_SHARE * (info.planned_arrivals or 1)
        found = backlog_growth(_found_by_arrivals(block))
        if found is None and full:
            found = 0.0, float(data.case.load.max_in_flight)
        grown.append(found)
    worst = [g for g in grown if g is not None]
    if not worst or len(worst) <= len(grown) / 2:
        return None
    return len(worst), *max(worst, key=lambda g: g[1] - g[0])


def _found_by_arrivals(block: Columns) -> Floats:
    """How many open requests each measured arrival of a block found, in order of time."""
    known = (block.phase != WARMUP) & ~np.isnan(block.planned_ns)
    starts = np.sort(block.planned_ns[known])
    ends = np.sort(block.end_ns[known & ~np.isnan(block.end_ns)])
    due = np.sort(block.planned_ns[known & block.measured])
    found = np.searchsorted(starts, due, side="left") - np.searchsorted(ends, due, side="right")
    return found.astype(np.float64)


def with_memory(
    metrics: Mapping[str, Metric], data: CaseData, slots: Slots | None
) -> dict[str, Metric]:
    """The metrics of a case; in an open loop, with what a queue's memory lets them carry."""
    if data.case.load.loop != "open":
        return dict(metrics)
    refused = overload(data) is not None
    by_load = None if refused else _memory_of_load(data, slots)
    changed = {}
    for id in QUEUEING:
        metric = metrics[id]
        if not metric.n:
            continue
        if refused:
            none = Estimate(None, method=OVERLOAD)
            stats = {s: e if s in ("min", "max") else none for s, e in metric.stats.items()}
            changed[id] = replace(metric, stats=stats, note=OVERLOAD)
        else:
            changed[id] = replace(metric, stats=_stats(metric, _in_order(data, id), by_load))
    return {**metrics, **changed}


def _stats(metric: Metric, blocks: list[Floats], by_load: LoadMemory | None) -> dict[str, Estimate]:
    series = queue_series(blocks, by_load)
    wanted: dict[str, float | None] = {"mean": None, **QUANTILES}
    return metric.stats | {
        stat: _estimate(judge(series, p)) for stat, p in wanted.items() if stat in metric.stats
    }


def _estimate(judged: Judged) -> Estimate:
    needs = judged.needs
    whole = math.ceil(needs) if needs is not None and math.isfinite(needs) else None
    found = judged.interval
    if found is None:
        why = _UNSETTLED if judged.luck else _AT_EDGE if judged.edge else _TOO_SHORT
        return Estimate(None, needs=whole, method=why)
    return replace(found, needs=whole)


def _in_order(data: CaseData, id: str) -> list[Floats]:
    """The values of a metric, one array a block, in the order in which requests were due."""
    order = np.argsort(data.ok.start_ns, kind="stable")
    values, blocks = data.times[id][order], data.ok.block[order]
    there = ~np.isnan(values)
    return [values[there & (blocks == b)] for b in np.unique(blocks[there])]


def _memory_of_load(data: CaseData, slots: Slots | None) -> LoadMemory | None:
    """Memory from the load of the slots.

    The load is that of the requests that came before the measured ones where there are enough: what
    is measured must not decide whether it is shown. Of these, requests that had to wait tell most:
    they were worked on while every slot was busy. Without waits there may be more slots than were
    ever used, and less load.
    """
    rate = _rate(data)
    if slots is None or not slots.observed or rate is None:
        return None
    before = data.columns.select(data.columns.ok & (data.columns.phase == SETTLE))
    for requests, apart in ((before, True), (data.ok, False)):
        service = _service_s(requests, slots)
        if len(service) >= _MIN_SERVED:
            return load_memory(
                service,
                rate,
                slots.observed,
                _arrival_cv2(data),
                at_most=not slots.exact,
                apart=apart,
            )
    return None


def _service_s(requests: Columns, slots: Slots) -> Floats:
    """For how long requests kept a slot, by the server's own times."""
    work = (requests.prompt_eval_ns + requests.eval_ns) / 1e9
    known = ~np.isnan(work)
    if not slots.exact or not known.any():
        return work[known]
    waiting = known & (queue_ns(requests) > 0.25 * np.median(work[known]) * 1e9)
    return work[waiting] if waiting.sum() >= _MIN_WAITING else work[known]


def _rate(data: CaseData) -> float | None:
    if data.case.load.rate_per_s is not None:
        return data.case.load.rate_per_s
    seconds = sum(b.seconds for b in data.throughput.values())
    return len(data.judged) / seconds if seconds > 0 else None


def _arrival_cv2(data: CaseData) -> float:
    arrivals = data.case.load.arrivals
    if arrivals is None or arrivals.kind in ("poisson", "constant"):
        return float(arrivals is None or arrivals.kind == "poisson")
    if arrivals.kind == "gamma":
        return arrivals.burstiness
    gaps = np.diff(arrivals.times_s)
    return float(gaps.var() / gaps.mean() ** 2) if len(gaps) and gaps.mean() > 0 else 1.0


def open_loop_warnings(data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    """Overload; or a block too short for what it was to show."""
    count = len(data.block_order)
    if (found := overload(data)) is not None:
        blocks, start, end = found
        where = f"in {blocks} of {count} blocks " if count > 1 else ""
        yield RunWarning(
            WarningCode.OVERLOAD,
            f"the backlog grew {where}from {start:.0f} to {end:.0f} open requests: the server does "
            "not keep up with this rate",
            "Its latencies grow with the length of the block, so none is given as typical. "
            "Lower the rate, or read request_per_s as what the server can do.",
        )
        return
    if data.case.load.loop != "open":
        return
    stats = summary.metrics["ttft_s" if data.case.stream else "e2e_s"].stats
    short = {s: e for s in ("p50", "p95") if (e := stats.get(s)) and e.value is None}
    needed = max((e.needs or 0 for e in short.values()), default=0)
    rate = _rate(data)
    if not needed or rate is None:
        return
    seconds = needed / count / rate
    long = f"{math.ceil(seconds)}s" if seconds < 120 else f"{math.ceil(seconds / 60)}m"
    notes = {e.method for e in short.values()}
    unsettled = _UNSETTLED in notes and not data.case.load.settle_s
    settle = " and let it settle first (load.open.settle)" if unsettled else ""
    why = "at this rate the queue remembers what happened for so long that"
    if notes == {_UNSETTLED}:
        why = "only the measured requests tell how long the queue remembers what happened, so"
    elif notes == {_AT_EDGE}:
        why = "waiting begins near it at this rate, which makes it too high on average, so"
    yield RunWarning(
        WarningCode.SHORT_BLOCK,
        f"{' and '.join(short)} of the latencies {'are' if len(short) > 1 else 'is'} not given: "
        f"{why} {needed:,} requests are needed",
        f"Make the {'block' if count == 1 else 'blocks'} longer: load.open.duration: {long}"
        f"{'' if count == 1 else f' with {count} blocks'}{settle}; or measure at a lower rate.",
    )
