"""The time that some steps with the same occupancy take, in closed form.

With n sequences decoding, the context grows by n tokens a step, so each step takes the same bit
longer than the one before: k steps take k * first + growth * k (k - 1) / 2, times a factor for
jitter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stretch:
    """Some steps in a row. Times in nanoseconds.

    Attributes:
        start: when the first step begins.
        steps: how many; `shorten` lowers it while they run.
        first: duration of the first step, without jitter.
        growth: how much longer each step takes than the one before.
        factor: on all durations.
        end: when the last step ends.
        end_ns: the first whole nanosecond at which it has ended.
    """

    start: float
    steps: int
    first: float
    growth: float
    factor: float
    end: float = field(init=False)
    end_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.shorten(self.steps)

    def shorten(self, steps: int) -> None:
        """End with this step."""
        self.steps = k = steps
        # Kept, not computed anew: they are read several times in each of millions of stretches.
        self.end = self.start + self.factor * (k * self.first + self.growth * k * (k - 1) / 2)
        self.end_ns = math.ceil(self.end)

    def steps_until(self, now: float) -> int:
        """The step under way at `now`, from 1: the least k whose steps end at or after it."""
        elapsed = (now - self.start) / self.factor
        if elapsed <= 0:
            return 1
        a, b = self.growth / 2, self.first - self.growth / 2
        k = elapsed / b if a == 0 else (math.sqrt(b * b + 4 * a * elapsed) - b) / (2 * a)
        # A step that ends at this very instant, up to rounding, is over: k is not raised by noise.
        return max(1, min(self.steps, math.ceil(k - 1e-9)))
