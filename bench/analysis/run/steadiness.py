"""Did the numbers stay the same over a case? A label; nothing is ever deleted.

Deleting "warm-up" by looking at the numbers throws away good data of steady runs and, when a GPU
throttles half-way, keeps the bad half. So every metric that is shown is tested instead
(`bench.stats.steadiness`): its logs, after what is known to move them is taken out (prompt length,
output length, and how many streams were being written meanwhile).

In an open loop nothing that holds a wait for a slot is tested: a queue that is long stays long for
a while, so its waits change level again and again while the server stays the same. Whether the
backlog grows is another question (`bench.analysis.run.open_loop`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Bools, Columns, Floats, Ints
from bench.analysis.run.open_loop import QUEUEING
from bench.analysis.run.slots import mean_at_once, working_spans
from bench.analysis.run.summary import Steadiness
from bench.metrics import METRICS
from bench.stats.steadiness import MIN_BLOCKS, MIN_SERIES, Change, find_changes, usable_blocks

MIN_CHANGE = 0.01  # smaller changes are not worth a label, however significant
MIN_SECONDS = 0.0005
"""Nor are changes of a request's time by less than this; per token everything counts."""

_PER_TOKEN = ("itl_s", "tpot_s")
_NOT_SHOWN_ALONE = ("ollama_tok_per_s", "send_delay_s")
_GIVEN = 0.8  # a metric is tested if at least this share of the requests has it


@dataclass(frozen=True, slots=True)
class _Series:
    """The logs of every metric, request by request in order of time.

    Attributes:
        metrics: ids, one a column of `logs`.
        logs: residuals, shape (requests, metrics).
        levels: median of each metric, in its unit.
        block: block of each request, ascending.
    """

    metrics: tuple[str, ...]
    logs: Floats
    levels: Floats
    block: Ints

    def of(self, block: int) -> Floats:
        """The rows of one block."""
        return np.asarray(self.logs[self.block == block])


def case_steadiness(data: CaseData) -> Steadiness:
    """Whether a case held its numbers over its requests, in order of time."""
    series = _series(data)
    blocks = np.unique(series.block).tolist()
    inside = [blocks[i] for i in usable_blocks([int((series.block == b).sum()) for b in blocks])]
    ids, values = _block_values(data, series, blocks)
    if not inside and len(blocks) < MIN_BLOCKS:
        n = len(series.block)
        return Steadiness(
            None,
            f"{n} requests in {len(blocks)} blocks are too few to tell: it takes {MIN_SERIES} "
            f"requests in blocks of 8, or {MIN_BLOCKS} blocks",
        )
    found: list[tuple[str, tuple[str, ...]]] = []
    for change in find_changes([series.of(b) for b in inside], values):
        if change.inside:
            where_seen = [inside[change.block]] if change.kind == "step" else inside
            parts = [_size(change, series.of(b)) for b in where_seen]
            sizes, names, levels = np.mean(parts, axis=0), series.metrics, series.levels
        else:
            sizes, names = _size(change, values), ids
            levels = np.append(series.levels, np.full(len(ids), np.inf))
        large = [c for c in change.columns if _large(names[c], sizes[c], float(levels[c]))]
        if large:
            where = _where(change, series, inside, len(blocks))
            what = f"{change.kind} of {math.expm1(sizes[large[0]]):+.1%}"
            name = names[large[0]]
            said = f"{what} in {_label(name)} {where}"
            found.append((said, tuple(names[c] for c in large)))
    if not found:
        return Steadiness(True)
    moved = dict.fromkeys(name for _, names in found for name in names)
    return Steadiness(False, found[0][0], tuple(moved))


def _label(metric: str) -> str:
    label = METRICS[metric].label
    return label[:1].lower() + label[1:]


def _series(data: CaseData) -> _Series:
    ok, users = data.ok, data.case.load.users or 0
    order = np.lexsort((ok.sent_ns, ok.block))
    order = order[_without_edges(ok, data.columns, users)[order]]
    values = _per_request(data)
    given = {
        id: v[order]
        for id, v in values.items()
        if len(order) and np.mean(_usable(v[order])) >= _GIVEN
    }
    there = np.ones(len(order), dtype=np.bool_)
    for v in given.values():
        there &= _usable(v)
    order = order[there]
    kept = {id: np.log(v[there]) for id, v in given.items()}
    kept = {id: v for id, v in kept.items() if len(v) and v.std() > 1e-9}
    logs = np.column_stack(list(kept.values())) if kept else np.empty((len(order), 0))
    levels = np.exp(np.median(logs, axis=0)) if len(logs) else np.empty(0)
    block = ok.block[order]
    return _Series(
        tuple(kept), _residuals(logs, block, ok.select(order), data.columns), levels, block
    )


def _per_request(data: CaseData) -> dict[str, Floats]:
    """Every metric that is shown and has a better and a worse, one value a request."""
    left_out = _NOT_SHOWN_ALONE + (QUEUEING if data.case.load.loop == "open" else ())
    values = {
        **data.times,
        "itl_s": _mean_gaps(data),
        **{id: parts.per_request for id, parts in data.rates.items()},
    }
    return {id: value for id, value in values.items() if METRICS[id].better and id not in left_out}


def _mean_gaps(data: CaseData) -> Floats:
    position = data.gaps.position_in(data.ok.row)
    count = np.bincount(position, minlength=len(data.ok))
    total = np.bincount(position, weights=data.gaps.seconds, minlength=len(data.ok))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _usable(values: Floats) -> Bools:
    return np.isfinite(values) & (values > 0)


def _without_edges(ok: Columns, everything: Columns, users: int) -> Bools:
    """Leaves out the requests that saw users start or stop: they had the server to themselves."""
    keep = np.ones(len(ok), dtype=np.bool_)
    if users < 2:
        return keep
    for block in np.unique(ok.block):
        sent = everything.sent_ns[everything.block == block]
        last = sent[~np.isnan(sent)].max(initial=-np.inf)
        here = ok.block == block
        keep &= ~(here & (ok.end_ns > last))
        measured = np.sort(ok.sent_ns[here])
        keep &= ~(here & (ok.sent_ns <= measured[min(users, len(measured)) - 1]))
    return keep


def _residuals(logs: Floats, block: Ints, requests: Columns, everything: Columns) -> Floats:
    """What is left of the logs after what is known to move them is taken out."""
    start, end = working_spans(requests)
    at_once = np.log1p(mean_at_once(*working_spans(everything), start, end))
    return logs - explained(logs, block, [*lengths(requests), at_once])


def _block_values(
    data: CaseData, series: _Series, blocks: Sequence[int]
) -> tuple[tuple[str, ...], Floats]:
    """(metrics, logs of their values in each block): medians, and what only a block has."""
    names = list(series.metrics)
    columns = (
        [np.array([np.median(series.of(b)[:, i]) for b in blocks]) for i in range(len(names))]
        if blocks
        else []
    )
    windows = [data.throughput.get(b) for b in blocks]
    if blocks and all(w is not None for w in windows):
        spent = [w for w in windows if w is not None]
        for id in ("output_tok_per_s", "request_per_s"):
            rate = np.array([w.amounts[id] / w.seconds for w in spent])
            if (rate > 0).all() and np.ptp(rate) > 1e-9 * rate.max():
                names.append(id)
                columns.append(np.log(rate))
    return tuple(names), np.column_stack(columns) if columns else np.empty((len(blocks), 0))


def _size(change: Change, rows: Floats) -> Floats:
    """Change of every metric over some rows (requests or blocks), on the log scale."""
    if change.kind == "drift":
        time = np.arange(len(rows)) - (len(rows) - 1) / 2
        return np.asarray(time @ rows / (time**2).sum() * (len(rows) - 1))
    at = _row(change, len(rows)) if change.inside else change.block
    return np.asarray(rows[at:].mean(axis=0) - rows[:at].mean(axis=0))


def _row(change: Change, size: int) -> int:
    return min(max(round(change.at * size), 1), size - 1)


def _large(metric: str, change: float, level: float) -> bool:
    if abs(math.expm1(change)) < MIN_CHANGE:
        return False
    seconds = METRICS[metric].unit == "s" and metric not in _PER_TOKEN
    return not seconds or abs(math.expm1(change)) * level >= MIN_SECONDS


def _where(change: Change, series: _Series, inside: Sequence[int], blocks: int) -> str:
    if not change.inside:
        if change.kind == "drift":
            return f"over {blocks} blocks"
        return f"from block {change.block + 1} of its {blocks} on"
    total = len(series.block)
    if change.kind == "drift":
        each = "inside each block" if len(inside) > 1 else ""
        return each or f"over {total} requests"
    block = inside[change.block]
    row = _row(change, int((series.block == block).sum()))
    at = int((series.block < block).sum()) + row + 1
    return f"at request {at} of {total}"


def lengths(requests: Columns) -> list[Floats]:
    """Prompt and output length: times go with their logs, speeds rather with themselves."""
    counts = [np.maximum(n, 1.0) for n in (requests.prompt_tokens, requests.output_tokens)]
    return [values for n in counts for values in (n, np.log(n))]


def explained(logs: Floats, block: Ints, causes: Sequence[Floats]) -> Floats:
    """The part of each log that the causes explain, about its block's mean.

    Least squares with a level for each block, so that what differs between blocks is left alone.
    Causes that are not finite or do not vary are left out.
    """
    within = [_within(x, block) for x in causes if np.isfinite(x).all()]
    moving = [x for x in within if x.size and x.std() > 1e-9]
    if not moving or not logs.size:
        return np.zeros_like(logs)
    design = np.column_stack([x / x.std() for x in moving])
    targets = np.column_stack([_within(column, block) for column in logs.T])
    return np.asarray(design @ np.linalg.lstsq(design, targets, rcond=None)[0], dtype=np.float64)


def _within(values: Floats, block: Ints) -> Floats:
    """Values less the mean of their block."""
    _, number, size = np.unique(block, return_inverse=True, return_counts=True)
    return np.asarray(values - (np.bincount(number, weights=values) / size)[number])
