"""Do the requests of a block account for what must have been in flight?

Little's law, mean number in flight = rate x mean time, holds exactly of a window only if what
straddles its edges is accounted for (Little & Graves 2008): plain rate x time of the requests that
began in it is far off in short blocks, and in every overloaded open loop. So each request counts
with the time for which it was in flight inside the window, and that is compared with what does not
come from these stamps: the number of users, the number of planned arrivals, and the failed
requests, which hold slots but are in no rate.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import CANCELLED, WARMUP, Columns, seconds
from bench.analysis.run.windows import part_inside, window_of
from bench.results.run import BlockInfo, RunWarning
from bench.results.warning_codes import WarningCode

TOLERANCE = 0.05
MIN_REQUESTS = 20
"""Of a case. Fewer say nothing."""
_PAUSE_AFTER_FAILURE_S = 0.2
_MIN_WINDOW_S = 0.05


def littles_law(data: CaseData) -> Iterator[RunWarning]:
    """At most one warning, of what does not add up."""
    if len(data.ok) < MIN_REQUESTS or (data.ok.work.session >= 0).any():
        return  # between the requests of a session there are pauses, and beside them others
    for found in (_failures(data), _users(data), _arrivals(data)):
        if found:
            yield RunWarning(
                WarningCode.LITTLES_LAW,
                found,
                "Failed requests that held slots, lost records, or wrong time stamps: look at the "
                "timeline before you trust throughput.",
            )
            return


def _failures(data: CaseData) -> str:
    """Failed requests that were in flight for long."""
    blocks = [(b, data.throughput[i]) for i, b in _blocks(data) if i in data.throughput]
    if not blocks:
        return ""
    everything = sum(done.in_flight_s for _, done in blocks)
    spent = sum(done.seconds for _, done in blocks)
    well = 0.0
    for index, block in _blocks(data):
        good = block.select(block.ok | (block.outcome == CANCELLED))
        well += _in_flight_s(good, window_of(block, data.infos.get(index)))
    if everything <= 0 or 1 - well / everything <= TOLERANCE:
        return ""
    return (
        f"{everything / spent:.2f} requests were in flight on average, but only "
        f"{well / spent:.2f} of them ended well"
    )


def _users(data: CaseData) -> str:
    """Users of a closed loop without pauses: each has a request in flight all the time."""
    load = data.case.load
    if load.loop != "closed" or load.users is None or load.think_time_s or data.case.cold:
        return ""
    spent = in_flight = idle = 0.0
    for index, block in _blocks(data):
        info = data.infos.get(index)
        sent = block.sent_ns[(block.phase != WARMUP) & (block.user >= 0)]
        if info is None or not len(sent):
            continue
        start, end = window_of(block, info)
        window = start, min(end, float(np.nanmax(sent)))  # until then no user had stopped
        if window[1] - window[0] < _MIN_WINDOW_S * 1e9:
            continue
        spent += (window[1] - window[0]) / 1e9
        in_flight += _in_flight_s(block, window)
        idle += _known_idle_s(block, info, window)
    expected = load.users * spent
    if spent <= 0 or _close(in_flight, expected, expected - idle):
        return ""
    return f"{in_flight / spent:.2f} requests were in flight on average, where " + (
        f"each of {load.users} users had one" if load.users > 1 else "the user always had one"
    )


def _close(value: float, *expected: float) -> bool:
    """Within the tolerance of the range of what was expected."""
    low, high = min(expected), max(expected)
    return low - TOLERANCE * high <= value <= high * (1 + TOLERANCE)


def _known_idle_s(block: Columns, info: BlockInfo, window: tuple[float, float]) -> float:
    """How long users idled by our own doing: failures make a pause; late sends are found elsewhere.

    A pause ends within the window or after it, so this is an upper bound.
    """
    inside = (block.end_ns >= window[0]) & (block.end_ns <= window[1]) & (block.phase != WARMUP)
    failed = int((inside & ~block.ok).sum())
    late_s = (info.health.send_late_mean_ms or 0.0) / 1e3
    return failed * _PAUSE_AFTER_FAILURE_S + late_s * int(inside.sum())


def _arrivals(data: CaseData) -> str:
    """Planned arrivals of an open loop that neither have a record nor were dropped."""
    planned = sent = 0
    for index, block in _blocks(data):
        info = data.infos.get(index)
        if info is None or info.planned_arrivals is None:
            continue
        planned += info.planned_arrivals - info.dropped
        sent += int(block.measured.sum())
    if not planned or abs(planned - sent) <= TOLERANCE * planned:
        return ""
    return f"{planned:,} arrivals were sent, but there are records of {sent:,}"


def _blocks(data: CaseData) -> Iterator[tuple[int, Columns]]:
    for index in data.block_order:
        yield index, data.sent.select(data.sent.block == index)


def _in_flight_s(block: Columns, window: tuple[float, float]) -> float:
    """The integral of the number of open requests over a window."""
    known = (block.phase != WARMUP) & ~np.isnan(block.sent_ns) & ~np.isnan(block.end_ns)
    some = block.select(known)
    inside = part_inside(some.sent_ns, some.end_ns, window)
    return float(seconds(inside * (some.end_ns - some.sent_ns)).sum())
