"""How many requests the server works on at once: observed, never taken from its settings.

No endpoint tells the number of slots, and the setting is often not what happens. What can be seen:
while requests wait (`queue_s` well above 0), every slot is busy, so the most streams that are being
written at the same time is the number of slots. While none waits, there are at least as many slots
as streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.analysis.columns import Columns, Floats
from bench.analysis.latency import queue_ns

NEAR_ZERO_SHARE = 0.25
"""A wait below this share of a typical request's working time is near 0."""
NEAR_ZERO_NS = 50e6
"""A wait below this is near 0 whatever the working time: rendering and tokenising take time too."""
QUEUED_SHARE = 0.1
"""From this share of waiting requests on, the slots count as full."""
MIN_TIME_SHARE = 0.02
"""A concurrency must last this share of the busy time: stamps of neighbours overlap a little."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of one model on one target.

    Attributes:
        observed: the most requests worked on at once.
        exact: True if requests waited meanwhile, so that there are no more than these. False: "at
            least".
        requests: how many requests this rests on.
    """

    observed: int
    exact: bool
    requests: int = field(default=0, compare=False)


def observe_slots(ok: Columns) -> Slots | None:
    """The slots that requests of one case show.

    Args:
        ok: requests that ended well, of any phase but warm-up, of all blocks of a case.

    Returns:
        None if none of them tells.
    """
    start, end = working_spans(ok)
    known = ~np.isnan(start) & ~np.isnan(end) & (end > start)
    if not known.any():
        return None
    return Slots(most_at_once(start[known], end[known]), _queued(ok), int(known.sum()))


def working_spans(columns: Columns) -> tuple[Floats, Floats]:
    """When each request was worked on, by the client's clock, in nanoseconds.

    Streams: first to last text. Others: by the server's durations, back from the end.
    """
    work = columns.prompt_eval_ns + columns.eval_ns
    streamed = columns.stream & ~np.isnan(columns.first_text_ns)
    start = np.where(streamed, columns.first_text_ns, columns.end_ns - work)
    end = np.where(streamed, columns.last_text_ns, columns.end_ns)
    return start, end


def most_at_once(start: Floats, end: Floats) -> int:
    """The highest concurrency of some spans that lasts for a share of the busy time.

    Args:
        start: of each span.
        end: of each span, after its start.
    """
    times = np.concatenate((start, end))
    change = np.concatenate((np.ones(len(start)), -np.ones(len(end))))
    # At equal times an end comes first: spans that only touch do not overlap.
    order = np.lexsort((change, times))
    level = np.cumsum(change[order])[:-1].astype(np.int64)
    lasting = np.diff(times[order])
    at_level = np.bincount(np.maximum(level, 0), weights=lasting)
    at_least = at_level[::-1].cumsum()[::-1]
    busy = at_least[1] if len(at_least) > 1 else 0.0
    enough = np.flatnonzero(at_least[1:] >= MIN_TIME_SHARE * busy) + 1
    return int(enough.max()) if busy > 0 else 1


def mean_at_once(all_start: Floats, all_end: Floats, start: Floats, end: Floats) -> Floats:
    """How many of some spans are open during other spans, averaged over the time of each.

    Args:
        all_start: of the spans that are counted; NaN where one is not known.
        all_end: of the same.
        start: of the spans during which they are counted.
        end: of the same.
    """
    known = ~np.isnan(all_start) & ~np.isnan(all_end) & (all_end > all_start)
    times = np.concatenate((all_start[known], all_end[known]))
    change = np.repeat([1.0, -1.0], int(known.sum()))
    order = np.argsort(times, kind="stable")
    times, level = times[order], np.cumsum(change[order])
    if not len(times):
        return np.zeros(len(start))
    # The integral of the level is linear between events, so it can be read at any time.
    integral = np.concatenate(([0.0], np.cumsum(level[:-1] * np.diff(times))))
    spent = np.interp(end, times, integral) - np.interp(start, times, integral)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(end > start, spent / (end - start), np.nan)


def _queued(ok: Columns) -> bool:
    waits = queue_ns(ok)
    work = ok.prompt_eval_ns + ok.eval_ns
    told = ~np.isnan(waits) & ~np.isnan(work)
    if not told.any():
        return False
    near_zero = max(NEAR_ZERO_NS, NEAR_ZERO_SHARE * float(np.median(work[told])))
    return float((waits[told] > near_zero).mean()) >= QUEUED_SHARE
