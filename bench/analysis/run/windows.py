"""Throughput and concurrency over the measured window of each block.

A duration that was used up is the window, whole. Else it goes from the first measured request's
(planned) send to the end of the last one. Requests that straddle an edge are credited by time:
their tokens, and they themselves, are spread evenly from first text to last text (a reply that was
not streamed: tokens from send to end, itself over the time the server says it worked), and the part
inside the window counts. Requests that brought the load up before it (ramp-up, settle) or keep it
up to its end (hold) count with their part too: they used the server; warm-up requests have ended
before. Failed requests give no tokens, but they are in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import WARMUP, Bools, Columns, Floats, seconds
from bench.analysis.run.slots import working_spans
from bench.results.run import BlockInfo

MAX_UNCOUNTED_SHARE = 0.01
"""So many replies without a count make throughput too low by no more than this."""


@dataclass(frozen=True, slots=True)
class BlockThroughput:
    """What one block did in its window.

    Attributes:
        seconds: length of the window.
        output_tokens: decoded inside it; NaN where too many replies do not say how many they hold.
        requests: that ended well, by their part inside it.
        good: of these, those that met every threshold.
        in_flight_s: integral of the number of open requests over the window, failed ones too.
    """

    seconds: float
    output_tokens: float
    requests: float
    good: float
    in_flight_s: float

    @property
    def amounts(self) -> dict[str, float]:
        """Metric id -> what is divided by the length of the window."""
        return {
            "request_per_s": self.requests,
            "in_flight": self.in_flight_s,
            "output_tok_per_s": self.output_tokens,
            "goodput_per_s": self.good,
        }


def window_of(columns: Columns, info: BlockInfo | None) -> tuple[float, float]:
    """The measured window of a block, in nanoseconds from the start of the run.

    Without `info` the run was cut short before it was written: then first start to last end.
    """
    if info is not None and info.window_end_ns > info.window_start_ns:
        return float(info.window_start_ns), float(info.window_end_ns)
    measured = columns.select(columns.measured & ~np.isnan(columns.end_ns))
    starts = measured.start_ns[~np.isnan(measured.start_ns)]
    if not len(starts):
        return 0.0, 0.0
    return float(starts.min()), float(measured.end_ns.max())


def part_inside(start: Floats, end: Floats, window: tuple[float, float]) -> Floats:
    """The share of each span that lies in the window; an instant counts whole or not at all."""
    overlap = np.minimum(end, window[1]) - np.maximum(start, window[0])
    length = end - start
    instant = (start >= window[0]) & (end <= window[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(length > 0, np.maximum(overlap, 0) / length, instant)
    return np.asarray(np.nan_to_num(share), dtype=np.float64)


def block_throughput(columns: Columns, window: tuple[float, float], good: Bools) -> BlockThroughput:
    """Counts one block's work inside its window."""
    used = (columns.phase != WARMUP) & ~np.isnan(columns.sent_ns)
    used &= ~np.isnan(columns.end_ns)
    columns, good = columns.select(used), good[used]
    ok = columns.ok
    inside = part_inside(columns.sent_ns, columns.end_ns, window)
    # By the time they were worked on: with that in a growing queue, arrivals would count as work.
    start, end = working_spans(columns)
    known = ~np.isnan(start) & ~np.isnan(end) & (end > start)
    worked = part_inside(
        np.where(known, start, columns.sent_ns), np.where(known, end, columns.end_ns), window
    )
    decoding = np.where(np.isnan(columns.first_text_ns), columns.sent_ns, columns.first_text_ns)
    decoded = np.where(np.isnan(columns.last_text_ns), columns.end_ns, columns.last_text_ns)
    tokens = part_inside(decoding, decoded, window) * np.nan_to_num(columns.output_tokens)
    uncounted = ok & (inside > 0) & np.isnan(columns.output_tokens)
    counted = uncounted.sum() <= MAX_UNCOUNTED_SHARE * (ok & (inside > 0)).sum()
    sojourn = columns.end_ns - columns.sent_ns
    return BlockThroughput(
        seconds=(window[1] - window[0]) / 1e9,
        output_tokens=float(tokens[ok].sum()) if counted else float("nan"),
        requests=float(worked[ok].sum()),
        good=float(worked[ok & good].sum()),
        in_flight_s=float(seconds(inside * sojourn).sum()),
    )
