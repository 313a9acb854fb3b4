"""Drawing numbers: every draw is a pure function of a seed and of what it is for.

Python's own generator, not numpy's: its seeds mean the same numbers in every version and on every
machine, and a run need not wait for numpy before its first request.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import IntEnum
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
    IMAGE = 11
    TOOL_RESULTS = 12


def generator(seed: int, stream: Stream, *position: int) -> random.Random:
    """The generator of one purpose, and of one request, user, ... of it."""
    return random.Random(" ".join(map(str, (seed, int(stream), *position))))


def draw(distribution: Distribution, rng: random.Random) -> float:
    """One number. A lognormal is given by its median and its 95 % quantile."""
    p = distribution.params
    match distribution.kind:
        case "fixed":
            return float(p["value"])
        case "uniform":
            return rng.uniform(p["low"], p["high"])
        case "normal":
            return rng.normalvariate(p["mean"], p["sd"])
        case "lognormal":
            sigma = math.log(p["p95"] / p["median"]) / Z95
            return rng.lognormvariate(math.log(p["median"]), sigma)
        case "choice":
            return float(rng.choices(p["values"], p["weights"])[0])


def mean(distribution: Distribution) -> float:
    """The expected value of a distribution."""
    p = distribution.params
    match distribution.kind:
        case "fixed":
            return float(p["value"])
        case "uniform":
            return (float(p["low"]) + float(p["high"])) / 2
        case "normal":
            return float(p["mean"])
        case "lognormal":
            sigma = math.log(p["p95"] / p["median"]) / Z95
            return float(p["median"]) * math.exp(sigma**2 / 2)
        case "choice":
            pairs = zip(p["values"], p["weights"], strict=True)
            return float(sum(v * w for v, w in pairs) / sum(p["weights"]))


def largest(distribution: Distribution) -> float:
    """The largest value, or the 95 % quantile where there is none."""
    p = distribution.params
    match distribution.kind:
        case "fixed":
            return float(p["value"])
        case "uniform":
            return float(p["high"])
        case "normal":
            return float(p["mean"]) + Z95 * float(p["sd"])
        case "lognormal":
            return float(p["p95"])
        case "choice":
            return float(max(v for v, w in zip(p["values"], p["weights"], strict=True) if w))


def think_time_s(pause: Distribution | None, seed: int, user: int, request: int) -> float:
    """The pause in seconds that a user of a closed loop makes before its next request.

    `request` is how many answers the user has had in this block.
    """
    if pause is None:
        return 0.0
    return max(0.0, draw(pause, generator(seed, Stream.THINK_TIME, user, request)))
