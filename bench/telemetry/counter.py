"""A counter of energy that ticks, wraps, freezes and falls back."""

from __future__ import annotations

NS = 1e9
_MARGIN = 1.2
_SLACK_S = 0.2
"""A counter that moves every 100 ms may show two ticks' worth of energy after a short step."""
_NO_DEVICE_W = 10_000.0
"""More than any one board or package draws; the limit where none is known."""


class Counter:
    """Adds up the steps of a counter of energy, as far as they can be true.

    A step is taken if it lies within 0 and the limit of power x time x 1.2. A counter that falls
    starts from where it fell to: it never books its lifetime when it comes back.
    """

    def __init__(self, limit_w: float | None = None, wraps_at_j: float | None = None) -> None:
        self._limit_w = (limit_w or _NO_DEVICE_W) * _MARGIN
        self._wraps_at_j = wraps_at_j
        self._last: tuple[int, float] | None = None
        self._known: tuple[int, float] | None = None
        self._total_j = 0.0
        self.dropped = 0

    def add(self, t_ns: int, value_j: float) -> float:
        """Joules since the first reading, after this one (value as the counter stands)."""
        if self._last is None:
            self._last = (t_ns, value_j)
            return 0.0
        step = self._step(*self._last, t_ns, value_j)
        if step is None and self._known is not None:  # an odd reading in between: bridge it
            step = self._step(*self._known, t_ns, value_j)
        if step is None:
            self.dropped += 1
            self._known = self._known or self._last
        else:
            self._total_j += step
            self._known = None
        self._last = (t_ns, value_j)
        return self._total_j

    def _step(self, since_ns: int, before_j: float, t_ns: int, value_j: float) -> float | None:
        step = value_j - before_j
        if step < 0 and self._wraps_at_j is not None:
            step += self._wraps_at_j
        most = self._limit_w * ((t_ns - since_ns) / NS + _SLACK_S)
        return step if 0 <= step <= most else None
