"""How long a queue remembers, and statistics of a series that does.

Waits in a queue resemble each other for long: once it is long it stays long. At 90 % load some 200
neighbours say what one independent request would, so a percentile of a few hundred requests in a
row is that of one or two episodes, and too low on average: most short stretches miss the long
queues.

Memory is counted in requests: as many in a row as weigh together like one independent request. Two
ways to know it:

* From the load: the queue is close to a Brownian motion that is reflected at 0, whose relaxation
  time is 2 rho s (ca2 + cs2) / (k (1 - rho)^2), for service time s with squared coefficient of
  variation cs2, ca2 that of the gaps between arrivals, k slots, load rho (Kleinrock, *Queueing
  Systems II*, section 2.9; Abate & Whitt 1987); autocorrelation that decays with it weighs twice.
* From the series: the sum of its autocorrelations, up to five times that sum (Sokal 1997). A short
  series has not seen what the queue can do, so this is too low where it matters most.

Whether a statistic is given must not hang on the luck of the requests that it is about. Requests
that happened to be short make the queue short and the load look low: a rule that reads the load
from them lets through the runs whose percentile is too low (by 10 to 30 % at 80 % load). So the
load is that of requests that came before. Where only the measured ones can tell, a statistic is
given where its interval is so narrow that luck cannot move it by more than a twentieth.

A percentile near the share of requests that need not wait is off on average however well the load
is known (`bench.stats.waiting_edge`).

Intervals are those of `bench.stats.batches`. What they need was found by simulation of M/G/4 at 35
to 90 % load (`tests/performance/open_loop_settling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.stats.batches import batch_mean, batch_quantile
from bench.stats.block_spread import Floats
from bench.stats.estimate import Estimate
from bench.stats.queueing import erlang_c
from bench.stats.student_t import t_quantile
from bench.stats.waiting_edge import requests_needed, share_error

_MEMORIES_FOR_MEAN = 40.0
_MEMORIES_AT_LEAST = 25.0
_MEMORIES_IN_TAIL = 6.0
"""A percentile needs so many memories' worth of requests beyond it: for p95, 120 in all."""
_TREND_BATCHES, _TREND_LEAST = 8, 24
_MIN_GROWTH, _MIN_GROWTH_SHARE = 3.0, 0.03
_FULL = 0.99
_SHORTEST = 1e-6
_UNSEEN = 1.2
"""Where only the series tells its memory: what it has not seen, roughly."""
_LOAD_CONFIDENCE = 0.8
_BELOW_WAITS = 0.8
"""Where no slot was short, a percentile up to here holds no wait."""
_NO_MEMORY = 3.0
"""Series of independent values show less than this."""
_EXPECTED = 0.7
"""So much of the error that the memory lets expect counts at least: a few batches that follow each
other show too little (one block, service times that vary by 100 %: 86 to 90 % held)."""
_WITHOUT_END = 4.0
"""An interval has its ends with about so many times as many requests."""
_NARROW = 0.08
"""Half an interval, relatively. The luckiest twentieth lie two standard errors low, an interval is
2.2 wide, and the correlation of load and percentile is at most .7: 5 % of bias."""


def memory_of_load(load: float, arrival_cv2: float, service_cv2: float) -> float:
    """The memory of a queue, in requests, from how it is loaded.

    Args:
        load: busy share of the slots, 0 and more; from 1 on there is no limit to the memory.
        arrival_cv2: squared coefficient of variation of the gaps between arrivals.
        service_cv2: the same of the service times.
    """
    if load >= 1:
        return math.inf
    return 1 + 4 * load**2 * (arrival_cv2 + service_cv2) / (1 - min(load, _FULL)) ** 2


def memory_of_series(blocks: Sequence[Floats]) -> float:
    """The memory of a series, in values: the integrated autocorrelation time, at least 1.

    Args:
        blocks: the series in pieces, each in order of time.
    """
    longest = max((len(b) for b in blocks), default=0)
    if longest < 3:
        return 1.0
    middle = np.concatenate(blocks).mean()
    products = np.zeros(longest)
    size = 1 << (2 * longest - 1).bit_length()
    for block in blocks:
        spectrum = np.fft.rfft(block - middle, size)
        products[: len(block)] += np.fft.irfft(spectrum * np.conj(spectrum), size)[: len(block)]
    if products[0] <= 1e-12 * max(1.0, middle**2):
        return 1.0
    sums = 1 + 2 * np.cumsum(products[1:] / products[0])
    enough = np.flatnonzero(np.arange(1, longest) >= 5 * sums)
    return max(1.0, float(sums[enough[0]] if len(enough) else sums[-1]))


@dataclass(frozen=True, slots=True)
class LoadMemory:
    """What the load of a queue says of its memory.

    Attributes:
        requests: the memory.
        at_most: it is a bound from above: no slot was short, so there may be more than were used.
        apart: it is known from other requests than those that are measured.
        waiting: share of requests that wait for a slot.
        wait_s: mean wait of those.
    """

    requests: float
    at_most: bool = False
    apart: bool = False
    waiting: float = 0.0
    wait_s: float = 0.0


def load_memory(
    service: Floats,
    rate: float,
    slots: int,
    arrival_cv2: float,
    *,
    at_most: bool = False,
    apart: bool = False,
) -> LoadMemory:
    """What the load of a queue says, from a sample of its service times.

    For the memory the load is taken at the upper end of what the sample allows (one-sided 80 %),
    since too short a memory costs more than one too long.

    Args:
        service: times for which requests keep a slot, in seconds; at least two.
        rate: arrivals per second.
        slots: how many.
        arrival_cv2: as for `memory_of_load`.
        at_most: as for `LoadMemory`.
        apart: likewise.
    """
    mean, variance, n = float(service.mean()), float(service.var(ddof=1)), len(service)
    if mean <= 0:
        return LoadMemory(1.0, at_most, apart)
    most = mean + t_quantile(_LOAD_CONFIDENCE, n - 1) * math.sqrt(variance / n)
    memory = memory_of_load(rate * most / slots, arrival_cv2, variance / mean**2)
    load = rate * mean / slots
    if load >= 1:
        return LoadMemory(memory, at_most, apart)
    wait_s = mean * (arrival_cv2 + variance / mean**2) / (2 * slots * (1 - load))
    return LoadMemory(memory, at_most, apart, erlang_c(slots, load * slots), wait_s)


@dataclass(frozen=True, slots=True)
class QueueSeries:
    """A latency that holds a wait, and what is known of its queue's memory.

    Attributes:
        blocks: positive, one array a block, in order of time; not empty.
        seen: memory of the series itself.
        by_load: what the load says, if it is known.
    """

    blocks: Sequence[Floats]
    seen: float
    by_load: LoadMemory | None

    def memory(self, p: float | None) -> float:
        """The memory, in requests, that counts for the p-quantile; None = for the mean."""
        if self.by_load is None:
            return _UNSEEN * self.seen
        if self._bulk_of_free_slots(p):
            if self.seen < _NO_MEMORY:
                return min(self.by_load.requests, _UNSEEN * self.seen)
            return max(self.by_load.requests, _UNSEEN * self.seen)
        # The formula is for a busy queue; half of what is seen is more than chance adds to it.
        return max(self.by_load.requests, self.seen / 2)

    def luck_counts(self, p: float | None) -> bool:
        """Whether the memory was read from the very requests that the statistic is about."""
        if self._bulk_of_free_slots(p):
            # One that resembles its neighbours did wait, before the server's own times began.
            return self.seen >= _NO_MEMORY
        return self.by_load is None or not self.by_load.apart

    def needed_at_edge(self, p: float) -> float:
        """How many requests the p-quantile needs where waiting begins near it; n if it does not."""
        n = sum(len(b) for b in self.blocks)
        if self.by_load is None or self._bulk_of_free_slots(p):
            return n
        share = self.by_load.waiting
        base = float(np.quantile(np.concatenate(self.blocks), p * (1 - share)))
        return requests_needed(p, self.memory(p), n, share, self.by_load.wait_s, base)

    def _bulk_of_free_slots(self, p: float | None) -> bool:
        return bool(self.by_load and self.by_load.at_most and p is not None and p <= _BELOW_WAITS)


def queue_series(blocks: Sequence[Floats], by_load: LoadMemory | None) -> QueueSeries:
    """A latency with its queue's memory; see `QueueSeries`."""
    seen = memory_of_series([np.log(np.maximum(b, _SHORTEST)) for b in blocks])
    return QueueSeries(blocks, seen, by_load)


def requests_for_quantile(p: float, memory: float) -> float:
    """How many requests the p-quantile needs; infinite if the memory is."""
    return max(_MEMORIES_AT_LEAST, _MEMORIES_IN_TAIL / min(p, 1 - p)) * memory


@dataclass(frozen=True, slots=True)
class Judged:
    """A statistic of a queue.

    Attributes:
        interval: the statistic; None where it is not to be given.
        needs: requests that it would take to give it, or to give it both ends; None if it has them,
            infinite if no number is enough.
        luck: it is not given because the measured requests alone tell how many are enough.
        edge: it is not given because waiting begins near it.
    """

    interval: Estimate | None
    needs: float | None = None
    luck: bool = False
    edge: bool = False


def judge(series: QueueSeries, p: float | None) -> Judged:
    """The p-quantile of a queue's latency, or its mean (p = None), if enough is known of it."""
    n = sum(len(b) for b in series.blocks)
    memory = series.memory(p)
    needs = _MEMORIES_FOR_MEAN * memory if p is None else requests_for_quantile(p, memory)
    if needs > n:
        return Judged(None, needs)
    if p is not None and (at_edge := series.needed_at_edge(p)) > n:
        return Judged(None, at_edge, edge=True)
    error = 0.0 if p is None else share_error(p, memory, n)

    def interval(least_error: float) -> Estimate:
        if p is None:
            return batch_mean(series.blocks)
        return batch_quantile(series.blocks, p, least_error)

    # Batches may agree by luck: what is to be expected counts, if it is more.
    found = interval(_EXPECTED * error)
    if found.low is None or found.high is None:
        return Judged(found if p is None else None, max(needs, n + 1))
    if series.luck_counts(p):
        half, narrow = _half(interval(error)), _NARROW * (found.value or 0.0)
        if half > narrow:
            more = n * (half / narrow) ** 2 if narrow > 0 else math.inf
            if math.isinf(half):
                more = _WITHOUT_END * n
            return Judged(None, more, luck=True)
    return Judged(found)


def _half(interval: Estimate) -> float:
    if interval.low is None or interval.high is None:
        return math.inf
    return (interval.high - interval.low) / 2


def backlog_growth(in_system: Floats) -> tuple[float, float] | None:
    """From how many to how many open requests the backlog grows through a block, if it does.

    It grows if a line through the means of consecutive batches rises, at one-sided 99 %, and by
    more than 3 % of the arrivals.

    Args:
        in_system: number of open requests that each arrival found, in order of time.
    """
    n = len(in_system)
    if n < _TREND_LEAST:
        return None
    levels = np.array([b.mean() for b in np.array_split(in_system, _TREND_BATCHES)])
    x = np.arange(_TREND_BATCHES) - (_TREND_BATCHES - 1) / 2
    slope = float(x @ levels / (x @ x))
    residual = levels - levels.mean() - slope * x
    error = math.sqrt(float(residual @ residual) / (_TREND_BATCHES - 2) / float(x @ x))
    growth = slope * _TREND_BATCHES
    if slope <= t_quantile(0.99, _TREND_BATCHES - 2) * error:
        return None
    if growth <= max(_MIN_GROWTH, _MIN_GROWTH_SHARE * n):
        return None
    start = max(0.0, float(levels.mean()) - growth / 2)
    return start, start + growth
