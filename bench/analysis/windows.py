"""Throughput and concurrency over the measured window of each block.

A duration that was used up is the window, whole. Else it goes from the first measured request's
(planned) send to the end of the last one. Requests that straddle an edge are credited by time:
their tokens are spread evenly from first text to last text (a reply that was not streamed: from
send to end), and the part inside the window counts. Ramp-up requests count with their part too:
they used the server; warm-up requests have ended before. Failed requests give no tokens, but they
are in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.analysis.columns import MEASURE, RAMP_UP, Bools, Columns, Floats, seconds
from bench.results.run import BlockInfo

LITTLES_LAW_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class BlockThroughput:
    """What one block did in its window.

    Attributes:
        seconds: length of the window.
        output_tokens: decoded inside it.
        requests: that ended well, by their part inside it.
        good: of these, those that met every threshold.
        in_flight_s: integral of the number of open requests over the window, failed ones too.
    """

    seconds: float
    output_tokens: float
    requests: float
    good: float
    in_flight_s: float


def window_of(columns: Columns, info: BlockInfo | None) -> tuple[float, float]:
    """The measured window of a block, in nanoseconds from the start of the run.

    Args:
        columns: of the block.
        info: None if the run was cut short before it was written: then first start to last end.
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
    """Counts one block's work inside its window.

    Args:
        columns: all rows of the block, whatever phase and outcome.
        window: as `window_of` gives it.
        good: which rows met every threshold.
    """
    used = ((columns.phase == MEASURE) | (columns.phase == RAMP_UP)) & ~np.isnan(columns.sent_ns)
    used &= ~np.isnan(columns.end_ns)
    columns, good = columns.select(used), good[used]
    ok = columns.ok
    inside = part_inside(columns.sent_ns, columns.end_ns, window)
    decoding = np.where(np.isnan(columns.first_text_ns), columns.sent_ns, columns.first_text_ns)
    decoded = np.where(np.isnan(columns.last_text_ns), columns.end_ns, columns.last_text_ns)
    tokens = part_inside(decoding, decoded, window) * np.nan_to_num(columns.output_tokens)
    sojourn = columns.end_ns - columns.sent_ns
    return BlockThroughput(
        seconds=(window[1] - window[0]) / 1e9,
        output_tokens=float(tokens[ok].sum()),
        requests=float(inside[ok].sum()),
        good=float(inside[ok & good].sum()),
        in_flight_s=float(seconds(inside * sojourn).sum()),
    )


def littles_law_gap(in_flight: float, request_per_s: float, sojourn_s: float) -> float:
    """How far the mean number in flight is from rate x mean time in the system, relatively.

    Little's law holds for any stable system, so a large gap means a broken measurement: stamps that
    do not fit together, requests that are missing, or failed requests that held slots.
    """
    return abs(in_flight - request_per_s * sojourn_s) / in_flight if in_flight > 0 else 0.0
