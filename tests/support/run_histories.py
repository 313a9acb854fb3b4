"""One metric over runs of one identity, as histories go: autocorrelation, drift, tails, a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.stats.change_points import change_points

_BURN_IN = 60


@dataclass(frozen=True)
class History:
    """How runs differ without a step.

    Attributes:
        sd: of the logs of runs.
        phi: correlation of a run with the run before (AR(1)).
        drift: of the log from the first run to the last.
        heavy: Student's t with 3 degrees of freedom in place of the normal distribution.
    """

    sd: float = 0.02
    phi: float = 0.0
    drift: float = 0.0
    heavy: bool = False

    def draw(
        self, rng: np.random.Generator, n: int, after: int = 0, step: float = 0.0
    ) -> np.ndarray:
        """n runs, and `after` more whose level differs by `step` (log)."""
        size = n + after + _BURN_IN
        noise = rng.standard_t(3, size) / math.sqrt(3) if self.heavy else rng.normal(0, 1, size)
        logs = noise.copy()
        for i in range(1, size):
            logs[i] = self.phi * logs[i - 1] + math.sqrt(1 - self.phi**2) * noise[i]
        logs = self.sd * logs[_BURN_IN:] + self.drift * np.linspace(0, 1, n + after)
        logs[n:] += step
        return np.exp(logs)


def marked(
    history: History,
    n: int,
    draws: int,
    after: int = 0,
    step: float = 0.0,
    seed: int = 4,
    firm: bool = False,
) -> float:
    """Share of histories in which a change point is found, or one that no drift explains."""
    rng = np.random.default_rng([seed, n, after, round(100 * history.phi)])
    drawn = (change_points(history.draw(rng, n, after, step)) for _ in range(draws))
    return sum(any(point.firm or not firm for point in points) for points in drawn) / draws
