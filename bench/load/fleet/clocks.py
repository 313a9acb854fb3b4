"""How far a sender's clock is from this machine's: offset and drift, with a bound on their error.

A round trip of four stamps, two on either clock, holds the offset within half its duration, however
the way there and back differ (NTP; RFC 5905, section 8). The shortest round trips tell most, so of
every second only the shortest counts. A line is fitted through them by least squares, weighted by
1 / round trip squared, with a ridge on the slope: an oscillator that drifts more than `MOST_DRIFT`
is broken, so a short stretch cannot claim a large drift.

The line is a linear function of the observations, and each of those is wrong by at most half its
round trip; so the sum of the weights' magnitudes times these halves bounds the error. It is a
worst case, not an interval: it holds whenever the clocks drift steadily over the fitted stretch.
Where they do not (a machine that was asleep), the line misses round trips, which is added.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench.clock import NS

MOST_DRIFT = 500e-6
"""The most that a clock is taken to run too fast or too slow: the limit of NTP's own correction."""
_STRETCH_S = 64
"""Over so much time a drift is taken to be steady: temperature changes are slower."""
_READING_NS = 1_000
"""Reading a clock twice can differ by this much, whatever the network does."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One question and its answer.

    Attributes:
        asked_ns, answered_ns: when it was sent and its answer came, on this machine's clock.
        there_ns, back_ns: when it came and its answer was sent, on the sender's clock.
    """

    asked_ns: int
    there_ns: int
    back_ns: int
    answered_ns: int

    @property
    def at_ns(self) -> int:
        """Its middle, on this machine's clock."""
        return (self.asked_ns + self.answered_ns) // 2

    @property
    def took_ns(self) -> int:
        """Time on the way, there and back."""
        return max(0, self.answered_ns - self.asked_ns - (self.back_ns - self.there_ns))

    @property
    def offset_ns(self) -> int:
        """The sender's clock less this machine's, if both ways took the same time."""
        return (self.there_ns - self.asked_ns + self.back_ns - self.answered_ns) // 2


@dataclass(frozen=True, slots=True)
class ClockLine:
    """The sender's clock less this machine's, as a line over this machine's time.

    Attributes:
        from_ns: where x = 0.
        offset_ns: there.
        drift: change a nanosecond; 20e-6 = the sender's clock gains 20 us a second.
    """

    from_ns: int
    offset_ns: float
    drift: float
    _weights: tuple[tuple[float, float, float], ...] = ()
    """Of each observation: its part in the offset, in the slope, and its largest error."""
    _misfit_ns: float = 0.0
    """How far the line passes by what a round trip allows: the clock did not drift steadily."""

    def at(self, now_ns: int) -> int:
        """The offset at a time on this machine's clock."""
        return round(self.offset_ns + self.drift * (now_ns - self.from_ns))

    def error_ns(self, now_ns: int) -> int:
        """The most that `at` can be wrong by."""
        x = (now_ns - self.from_ns) / NS
        held = sum(abs(a + b * x) * most for a, b, most in self._weights)
        return round(held + self._misfit_ns)

    @property
    def drift_error(self) -> float:
        """The most that the drift can be wrong by, if it was steady."""
        return sum(abs(b) * most for _, b, most in self._weights) / NS


def fit_line(trips: Sequence[RoundTrip]) -> ClockLine:
    """The line through some round trips, at least one.

    Weighted ridge regression: minimises sum w_i (y_i - a - b x_i)^2 + w_b b^2 with w_i = 1 / half
    round trip squared and w_b = 1 / MOST_DRIFT squared (Hoerl and Kennard 1970).
    """
    from_ns, base = trips[-1].at_ns, trips[-1].offset_ns
    most_per_s = MOST_DRIFT * NS
    rows = [
        ((t.at_ns - from_ns) / NS, float(t.offset_ns - base), t.took_ns / 2 + _READING_NS)
        for t in trips
    ]
    weights = [1 / half**2 for _, _, half in rows]
    w = sum(weights)
    wx = sum(v * x for v, (x, _, _) in zip(weights, rows, strict=True))
    prior = 1 / most_per_s**2
    wxx = sum(v * x * x for v, (x, _, _) in zip(weights, rows, strict=True)) + prior
    det = w * wxx - wx * wx
    parts = [
        (v * (wxx - wx * x) / det, v * (w * x - wx) / det, half)
        for v, (x, _, half) in zip(weights, rows, strict=True)
    ]
    offset = sum(a * y for (a, _, _), (_, y, _) in zip(parts, rows, strict=True))
    slope = sum(b * y for (_, b, _), (_, y, _) in zip(parts, rows, strict=True))
    by_prior = (-wx * prior / det, w * prior / det, most_per_s)
    misfit = max(abs(y - offset - slope * x) - half for x, y, half in rows)
    return ClockLine(from_ns, base + offset, slope / NS, (*parts, by_prior), max(0.0, misfit))


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """What the last round trips say of a sender's clock, and how long the trips took."""

    line: ClockLine
    shortest_ns: int
    median_ns: int


class ClockWatch:
    """Collects the round trips to one sender; one thread adds, another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shortest: deque[RoundTrip] = deque(maxlen=_STRETCH_S)
        self._took: deque[int] = deque(maxlen=1000)
        self._line: ClockLine | None = None

    def add(self, trip: RoundTrip) -> None:
        """One more round trip."""
        with self._lock:
            self._took.append(trip.took_ns)
            last = self._shortest[-1] if self._shortest else None
            if last is None or last.asked_ns // NS != trip.asked_ns // NS:
                self._shortest.append(trip)
            elif trip.took_ns < last.took_ns:
                self._shortest[-1] = trip
            else:
                return
            self._line = None

    def line(self) -> ClockLine:
        """The line through the shortest round trips of the last seconds; there must be one."""
        with self._lock:
            if self._line is None:
                self._line = fit_line(self._shortest)
            return self._line

    def seen(self) -> ClockSeen:
        """What is known now."""
        line = self.line()
        with self._lock:
            took = sorted(self._took)
        return ClockSeen(line, took[0], took[len(took) // 2])
