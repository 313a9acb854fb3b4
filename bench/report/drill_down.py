"""Single requests inside a page: columns of numbers that the page's script makes a table of.

Of more requests than fit into a page, those with extremes stay: failed ones, the slowest to their
first text and to their end, and the longest in the queue; of the others an even sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from bench.analysis.run.columns import OUTCOMES, Columns, Floats, Ints
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.report.model import Report
from bench.results.records import records_of
from bench.wire.exchange import Outcome

MOST_REQUESTS: Final = 6000
"""At most so many rows are in a page: some 0.6 MB."""
_EXTREMES: Final = 500
_BATCH: Final = 50_000
"""Requests whose times are computed at once: bounds the memory that takes."""
_DETAILED: Final = 30
"""So many of the slowest and of the failed ones of a run bring their gaps and errors."""
_GAPS: Final = 48
_MS: Final = 1e3
TIMES: Final = {
    "First text": "ttft_s",
    "Queue": "queue_s",
    "Load": "load_s",
    "Prefill": "prompt_eval_s",
    "Decode": "eval_s",
    "Overhead": "overhead_s",
    "Whole answer": "e2e_s",
    "Per token": "tpot_s",
}
"""Head -> metric."""
COLUMNS: Final = ("Case", "Block", "Request", "Sent", *TIMES, "Tokens", "Outcome")
"""Heads of a row; times in milliseconds, "Sent" in seconds since the start of the run."""


def request_data(report: Report) -> bytes:
    """The measured requests of a report as JSON.

    `columns`, `cases`, `outcomes`; `rows` with places in these for case and outcome;
    `details`, by row: status, error and gaps between chunks (ms, each the longest of its stretch);
    `total` counts all requests.
    """
    rows: list[list[Any]] = []
    details: dict[str, dict[str, Any]] = {}
    total = 0
    room = max(MOST_REQUESTS // max(len(report.runs), 1), 9)  # room for extremes
    for number, view in enumerate(report.runs):
        cases = [c for c in report.cases if c.run == number]
        columns = columns_of(view.run.records, [c.summary.id for c in cases])
        own = columns.select(columns.measured & (columns.case >= 0))
        times = _times(own)
        total += len(own)
        kept = _kept(own, times, room)
        places = [i for i, c in enumerate(report.cases) if c.run == number]
        first = len(rows)
        rows += _rows(own, times, kept, places)
        chosen = _detailed(own, times, kept)
        read = records_of(view.run.records).read(own.row[kept[chosen]])
        for place, record in zip(chosen.tolist(), read, strict=True):
            more = {"error": record.error, "gaps": _gaps(record.chunk_gaps_ns or ())}
            details[str(first + place)] = {"status": record.status, **more}
    content = {
        "columns": COLUMNS,
        "cases": [c.label for c in report.cases],
        "outcomes": [o.value.replace("_", " ") for o in OUTCOMES],
        "rows": rows,
        "details": details,
        "total": total,
    }
    return msgspec.json.encode(content)


def _times(own: Columns) -> dict[str, Floats]:
    """What is shown of each request; of failed ones, when they ended."""
    times = {name: np.empty(len(own)) for name in TIMES.values()}
    for begin in range(0, len(own), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(own)))
        some = own.select(rows)
        every = latencies(some)
        for name, values in times.items():
            values[rows] = np.where(some.ok, every[name], np.nan)
        whole = times["e2e_s"][rows]
        times["e2e_s"][rows] = np.where(some.ok, whole, (some.end_ns - some.sent_ns) / 1e9)
    return times


def _kept(own: Columns, times: dict[str, Floats], room: int) -> Ints:
    """Places of the requests that are shown, in order of time."""
    if len(own) <= room:
        return np.arange(len(own))
    keep = np.zeros(len(own), dtype=bool)
    keep[np.flatnonzero(~own.ok)[: room // 3]] = True
    for name in ("e2e_s", "ttft_s", "queue_s"):
        ranked = np.argsort(np.nan_to_num(times[name], nan=-1.0), kind="stable")
        keep[ranked[-min(_EXTREMES, room // 9) :]] = True
    others = np.flatnonzero(~keep)
    left = room - int(keep.sum())
    keep[others[np.linspace(0, len(others) - 1, left).round().astype(int)]] = True
    return np.flatnonzero(keep)


def _rows(
    own: Columns, times: dict[str, Floats], kept: Ints, places: Sequence[int]
) -> list[list[Any]]:
    columns = [
        np.array(places, dtype=int)[own.case[kept]].tolist(),
        (own.block[kept] + 1).tolist(),
        (own.index[kept] + 1).tolist(),
        _rounded(own.sent_ns[kept] / 1e9, 3),
        *(_rounded(times[m][kept] * _MS, 2 if m == "tpot_s" else 1) for m in TIMES.values()),
        _rounded(own.output_tokens[kept], 0),
        own.outcome[kept].tolist(),
    ]
    return list(map(list, zip(*columns, strict=True)))


def _rounded(values: Floats, decimals: int) -> list[float | None]:
    return [None if x != x else x for x in np.round(values, decimals).tolist()]


def _detailed(own: Columns, times: dict[str, Floats], kept: Ints) -> Ints:
    """Places in `kept` of those whose gaps and errors are shown: failed ones and the slowest."""
    whole = np.nan_to_num(times["e2e_s"][kept], nan=-1.0)
    slowest = np.argsort(whole, kind="stable")[-_DETAILED:]
    failed = np.flatnonzero(own.outcome[kept] != OUTCOMES.index(Outcome.OK))[:_DETAILED]
    return np.union1d(slowest, failed)


def _gaps(gaps_ns: Sequence[int]) -> list[float]:
    """Gaps in milliseconds; of many, the longest of each stretch, so that no stall is lost."""
    gaps = np.asarray(gaps_ns, dtype=np.float64) / 1e6
    if len(gaps) <= _GAPS:
        return [round(x, 1) for x in gaps.tolist()]
    return [round(float(part.max()), 1) for part in np.array_split(gaps, _GAPS)]
