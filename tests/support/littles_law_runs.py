"""Honest runs with natural lengths, closed and open, at half load and overloaded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from bench.analysis.run.evidence import columns_of
from bench.analysis.run.windows import block_throughput, window_of
from bench.results.record import Phase
from bench.results.run import BlockInfo
from bench.scenario.plan import Load

S = 1_000_000_000


def data_of(load, blocks, infos):
    """As much of a case as the check looks at."""
    records = [r for block in blocks for r in block]
    columns = columns_of(records, [records[0].case])
    measured = columns.select(columns.measured)
    each = {}
    for i, info in infos.items():
        rows = columns.select(columns.block == i)
        each[i] = block_throughput(rows, window_of(rows, info), np.zeros(len(rows), bool))
    return SimpleNamespace(
        case=SimpleNamespace(load=load, cold=False, id="m"),
        columns=columns,
        sent=columns,
        ok=measured.select(measured.ok),
        infos=infos,
        throughput=each,
        block_order=sorted(infos),
    )


def closed_block(rng, a_request, index, users=4, requests=24, hold=True):
    """Users with natural lengths, from a ramp-up to the end of the last measured answer."""
    free = [0.3 * u for u in range(users)]
    ramp, sent, rows = 1.2, 0, []
    while True:
        user = int(np.argmin(free))
        at = free[user]
        took = 0.1 + rng.lognormal(0, 0.6)
        phase = Phase.RAMP_UP
        if at >= ramp:
            phase = Phase.MEASURE if sent < requests else Phase.HOLD
            sent += 1
        ends = [r.end_ns for r in rows if r.phase is Phase.MEASURE]
        if phase is Phase.HOLD and (not hold or at * S >= max(ends)):
            break
        rows.append(
            a_request(
                at, ttft=0.1, decode=took - 0.1, block=index, phase=phase, user=user,
                index=len(rows),
            )
        )  # fmt: skip
        free[user] = at + took
    measured = [r for r in rows if r.phase is Phase.MEASURE]
    window = min(r.sent_ns for r in measured), max(r.end_ns for r in measured)
    return rows, BlockInfo(index, "m", 0, window[1], *window)


def open_block(rng, a_request, index, load=2.0, n=25, settle=6, duration=None):
    """One slot, one second an answer, arrivals at this load."""
    at = np.cumsum(rng.exponential(1 / load, n + settle))
    at -= at[settle - 1] if settle else 0.0
    free, rows = -1e9, []
    for i, due in enumerate(at + 100.0):
        start = max(due, free)
        free = start + rng.lognormal(-0.08, 0.4)
        phase = Phase.SETTLE if i < settle else Phase.MEASURE
        rows.append(
            a_request(
                due, ttft=start - due + 0.05, decode=free - start - 0.05, planned=due,
                block=index, phase=phase, index=i,
            )
        )  # fmt: skip
    measured = [r for r in rows if r.phase is Phase.MEASURE]
    window = 100 * S, max(r.end_ns for r in measured)
    if duration:
        window = 100 * S, (100 + duration) * S
    return rows, BlockInfo(index, "m", 0, window[1], *window, planned_arrivals=n)


def case_of(make, load, blocks=3, **options):
    made = [make(index=i, **options) for i in range(blocks)]
    return data_of(load, [m[0] for m in made], {i: m[1] for i, m in enumerate(made)})


CLOSED = Load("closed", users=4, requests=24)
OPEN = Load("open", rate_per_s=2.0, requests=25)
