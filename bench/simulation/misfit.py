"""Does a fitted service model describe what it was fitted to? Measured over expected, in groups.

The model says that a prefill takes as long again for each further token, and a decoding step as
long again for each further sequence. Where that is not so, requests of one size are off together,
and what is predicted for another load is off as well, though the fit looks good on average. So the
requests are put into groups by what the model leans on - prompt length, and how many decoded
together - and each group's total time is compared with what the model expects. Each half of the run
is held against the model fitted to the other half, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GROUPS = 4
MOST_VALUES = 16
LEAST_IN_GROUP = 5
WARN = 0.10
REFUSE = 0.30
"""A group off by this share, beyond chance, makes the model one of another server."""
SURE = 4.0
"""Standard errors that a group must be off by, so that noise is not called a misfit."""


@dataclass(frozen=True, slots=True)
class Off:
    """How far a group of requests is off.

    Attributes:
        what: "prefill" or "decode".
        group: which requests, in words.
        requests: in the group.
        ratio: time measured over time expected, of all together.
        error: standard error of the ratio.
    """

    what: str
    group: str
    requests: int
    ratio: float
    error: float

    @property
    def share(self) -> float:
        """By how much it is off, beyond what chance explains: a ratio, 0 = not."""
        far = abs(math.log(self.ratio)) if self.ratio > 0 else math.inf
        return math.expm1(far) if far > SURE * self.error / max(self.ratio, 1e-9) else 0.0

    def __str__(self) -> str:
        return f"{self.what} of {self.group} took {self.ratio:.2f} times what it says"


def off_by_size(
    what: str, unit: str, size: Floats, measured: Floats, expected: Floats, groups: int = GROUPS
) -> list[Off]:
    """Groups of about equally many requests, by size; of one size each if there are few."""
    if not len(size):
        return []
    values = np.unique(size)
    if len(values) > MOST_VALUES or groups == 1:
        values = np.unique(np.quantile(size, np.arange(groups) / groups))
    which = np.searchsorted(values, size, side="right") - 1
    found = []
    for k in range(len(values)):
        rows = which == k
        if rows.sum() >= LEAST_IN_GROUP:
            name = f"{size[rows].min():,.3g} to {size[rows].max():,.3g} {unit}"
            found.append(_off(what, name, measured[rows], expected[rows]))
    return found


def worst(groups: Sequence[Off]) -> Off | None:
    """The group that is off most, beyond chance and by at least 10 %; None = the model fits."""
    far = [g for g in groups if g.share >= WARN]
    return max(far, key=lambda g: g.share, default=None)


def _off(what: str, group: str, measured: Floats, expected: Floats) -> Off:
    ratio = float(measured.sum() / max(expected.sum(), 1.0))
    # Of a ratio of sums, by the spread of the residuals (Cochran, Sampling Techniques, 1977, 6.4).
    n = len(measured)
    spread = float(np.sum((measured - ratio * expected) ** 2)) / max(n - 1, 1)
    error = math.sqrt(n * spread) / max(float(expected.sum()), 1.0)
    return Off(what, group, n, ratio, error)
