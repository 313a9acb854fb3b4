"""Quantiles of what this program measures of itself: no interpolation, no numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable


def nearest_rank(values: Iterable[int], p: float) -> int | None:
    """The p-quantile by nearest rank; None without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(p * len(ordered)) - 1)] if ordered else None
