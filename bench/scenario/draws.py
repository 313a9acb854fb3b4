"""Drawing numbers: every draw is a pure function of a seed and of what it is for.

Python's own generator, not numpy's: its seeds mean the same numbers in every version and on every
machine, and a run need not wait for numpy before its first request.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

Z95 = 1.6448536269514722
"""The 95 % quantile of the standard normal distribution."""
Kind = Literal["fixed", "uniform", "normal", "lognormal", "choice"]
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A number, or how to draw one.

    Attributes:
        kind: `fixed` (value), `uniform` (low, high), `normal` (mean, sd), `lognormal` (median,
            p95), `choice` (values, weights).
        params: the numbers of that kind, by the names above.
    """

    kind: Kind
    params: Params


class Stream(IntEnum):
    """What a number is drawn for: streams of different purposes never share numbers."""

    ARRIVALS = 1
    THINK_TIME = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    PROMPT_ORDER = 5
    CALIBRATION = 6
    SETTLE_ARRIVALS = 7
    HOLD_ARRIVALS = 8
    SESSION = 9
    PASSAGES = 10
    TOOL_RESULTS = 12


def generator(seed: int, stream: Stream, *position: int) -> random.Random:
    """The generator of one purpose, and of one request, user, ... of it."""
    return random.Random(" ".join(map(str, (seed, int(stream), *position))))


def draw(distribution: Distribution, rng: random.Random) -> float:
    """One number. A lognormal is given by its median and its 95 % quantile."""
    return float(_KINDS[distribution.kind][0](distribution.params, rng))


def mean(distribution: Distribution) -> float:
    """The expected value of a distribution."""
    return float(_KINDS[distribution.kind][1](distribution.params))


def largest(distribution: Distribution) -> float:
    """The largest value, or the 95 % quantile where there is none."""
    return float(_KINDS[distribution.kind][2](distribution.params))


def _log(p: Params) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm."""
    return math.log(p["median"]), math.log(p["p95"] / p["median"]) / Z95


def _weighted(p: Params) -> list[tuple[float, float]]:
    return [(v, w) for v, w in zip(p["values"], p["weights"], strict=True) if w]


_Of = Callable[[Params], float]
# How to draw from each kind, its mean, and its largest value.
_KINDS: dict[Kind, tuple[Callable[[Params, random.Random], float], _Of, _Of]] = {
    "fixed": (lambda p, rng: p["value"], lambda p: p["value"], lambda p: p["value"]),
    "uniform": (
        lambda p, rng: rng.uniform(p["low"], p["high"]),
        lambda p: (p["low"] + p["high"]) / 2,
        lambda p: p["high"],
    ),
    "normal": (
        lambda p, rng: rng.normalvariate(p["mean"], p["sd"]),
        lambda p: p["mean"],
        lambda p: p["mean"] + Z95 * p["sd"],
    ),
    "lognormal": (
        lambda p, rng: rng.lognormvariate(*_log(p)),
        lambda p: p["median"] * math.exp(_log(p)[1] ** 2 / 2),
        lambda p: p["p95"],
    ),
    "choice": (
        lambda p, rng: rng.choices(p["values"], p["weights"])[0],
        lambda p: sum(v * w for v, w in _weighted(p)) / sum(p["weights"]),
        lambda p: max(v for v, _ in _weighted(p)),
    ),
}


def think_time_s(pause: Distribution | None, seed: int, user: int, request: int) -> float:
    """The pause in seconds that a user of a closed loop makes before its next request.

    `request` is how many answers the user has had in this block.
    """
    if pause is None:
        return 0.0
    return max(0.0, draw(pause, generator(seed, Stream.THINK_TIME, user, request)))
