"""A number, or how to draw one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Distribution:
    """A number, or how to draw one.

    Attributes:
        kind: `fixed` (value), `uniform` (low, high), `normal` (mean, sd), `lognormal` (median,
            p95), `choice` (values, weights).
        params: the numbers of that kind, by the names above.
    """

    kind: Literal["fixed", "uniform", "normal", "lognormal", "choice"]
    params: dict[str, Any]
