"""How many requests the server works on at once: observed, never taken from its settings.

No endpoint tells the number of slots, and the setting is often not what happens. What can be seen:
while requests wait for a slot, every slot is busy, so the most streams that are being written at
the same time is the number of slots. While none waits, there are at least as many slots as streams.

Time in no part (`queue_s`) alone is no proof that requests waited for a slot: llama.cpp counts the
prefill of others there, and so does whoever else uses the server. Who waits for a slot does so
beside more requests of our own than there are slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.analysis.run.columns import Columns, Floats
from bench.analysis.run.latency import queue_ns

NEAR_ZERO_SHARE = 0.25  # a wait below this share of a typical request's working time is near 0
NEAR_ZERO_NS = 50e6
"""A wait below this is near 0 whatever the working time: rendering and tokenising take time too."""
QUEUED_SHARE = 0.1  # from this share of waiting requests on, the slots count as full
MORE_THAN_SLOTS = 0.5  # so many more must be in flight during a wait, on average over it
MIN_TIME_SHARE = 0.02
"""A concurrency must last this share of the busy time: stamps of neighbours overlap a little."""
MIN_READING_SHARE = 0.1
"""The same where the reading of prompts counts: when that began is reckoned with the server's
durations (2 % overlap in a recording of one slot)."""


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

    Returns:
        None if none of them shows any.
    """
    start, end = working_spans(ok)
    known = ~np.isnan(start) & ~np.isnan(end) & (end > start)
    if not known.any():
        return None
    # A prompt that is being read holds a slot, too: with short answers for most of the time.
    reading = np.fmin(start, ok.first_text_ns - ok.prompt_eval_ns)
    observed = max(
        most_at_once(start[known], end[known]),
        most_at_once(reading[known], end[known], MIN_READING_SHARE),
    )
    return Slots(observed, _queued(ok, observed), int(known.sum()))


def working_spans(columns: Columns) -> tuple[Floats, Floats]:
    """When each request was worked on, by the client's clock, in nanoseconds.

    Streams: first to last text. Others: by the server's durations, back from the end.
    """
    work = columns.prompt_eval_ns + columns.eval_ns
    streamed = columns.stream & ~np.isnan(columns.first_text_ns)
    start = np.where(streamed, columns.first_text_ns, columns.end_ns - work)
    end = np.where(streamed, columns.last_text_ns, columns.end_ns)
    return start, end


def most_at_once(start: Floats, end: Floats, min_share: float = MIN_TIME_SHARE) -> int:
    """The highest concurrency of some spans that lasts for a share of the busy time."""
    times = np.concatenate((start, end))
    change = np.concatenate((np.ones(len(start)), -np.ones(len(end))))
    # At equal times an end comes first: spans that only touch do not overlap.
    order = np.lexsort((change, times))
    level = np.cumsum(change[order])[:-1].astype(np.int64)
    lasting = np.diff(times[order])
    at_level = np.bincount(np.maximum(level, 0), weights=lasting)
    at_least = at_level[::-1].cumsum()[::-1]
    busy = at_least[1] if len(at_least) > 1 else 0.0
    enough = np.flatnonzero(at_least[1:] >= min_share * busy) + 1
    return int(enough.max()) if busy > 0 else 1


def mean_at_once(all_start: Floats, all_end: Floats, start: Floats, end: Floats) -> Floats:
    """How many of some spans are open during other spans, averaged over the time of each.

    A start of those that are counted is NaN where it is not known.
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


def _queued(ok: Columns, slots: int) -> bool:
    """Whether requests waited while more were in flight than so many slots hold."""
    waits = queue_ns(ok)
    work = ok.prompt_eval_ns + ok.eval_ns
    known = ~np.isnan(waits) & ~np.isnan(work)
    if not known.any():
        return False
    near_zero = max(NEAR_ZERO_NS, NEAR_ZERO_SHARE * float(np.median(work[known])))
    sent = ok.sent_ns + np.nan_to_num(ok.load_ns)
    in_flight = mean_at_once(ok.sent_ns, ok.end_ns, sent, sent + waits)
    waited = (waits > near_zero) & (in_flight > slots + MORE_THAN_SLOTS)
    return float(waited[known].mean()) >= QUEUED_SHARE
