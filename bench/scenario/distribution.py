"""A number, or how to draw one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Z95 = 1.6448536269514722
"""The 95 % quantile of the standard normal distribution."""


Kind = Literal["fixed", "uniform", "normal", "lognormal", "choice"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A number, or how to draw one.

    Attributes:
        kind: `fixed` (value), `uniform` (low, high), `normal` (mean, sd), `lognormal` (median,
            p95), `choice` (values, weights).
        params: the numbers of that kind, by the names above.
    """

    kind: Kind
    params: dict[str, Any]
