"""Drawing numbers: every draw is a pure function of a seed and of what it is for."""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np

from bench.scenario.plan import Distribution, Load

Z95 = 1.6448536269514722
"""The 95 % quantile of the standard normal distribution."""


class Stream(IntEnum):
    """What a number is drawn for: streams of different purposes never share numbers."""

    ARRIVALS = 1
    THINK_TIME = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    PROMPT_ORDER = 5
    CALIBRATION = 6


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """The generator of one purpose, and of one request, user, ... of it."""
    return np.random.default_rng([seed, int(stream), *position])


def draw(distribution: Distribution, rng: np.random.Generator) -> float:
    """One number. A lognormal is given by its median and its 95 % quantile."""
    p = distribution.params
    match distribution.kind:
        case "fixed":
            return float(p["value"])
        case "uniform":
            return float(rng.uniform(p["low"], p["high"]))
        case "normal":
            return float(rng.normal(p["mean"], p["sd"]))
        case "lognormal":
            sigma = math.log(p["p95"] / p["median"]) / Z95
            return float(rng.lognormal(math.log(p["median"]), sigma))
        case "choice":
            weights = np.asarray(p["weights"], float)
            return float(rng.choice(np.asarray(p["values"], float), p=weights / weights.sum()))


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
            return float(np.average(p["values"], weights=p["weights"]))


def think_time_s(load: Load, seed: int, user: int, request: int) -> float:
    """The pause in seconds that a user of a closed loop makes before its next request.

    Args:
        load: the load level; without a think time the pause is 0.
        seed: of the block.
        user: which user, from 0.
        request: how many answers this user has had in this block.
    """
    if load.think_time_s is None:
        return 0.0
    return max(0.0, draw(load.think_time_s, generator(seed, Stream.THINK_TIME, user, request)))
