"""Worse, better, no change or inconclusive: one effect judged against two sizes.

One size cannot do both jobs: if the change one must *catch* were also the one below which
differences are *ignored*, a true change of just that size would be called only half of the time,
however many pairs are run. So a metric has D, to be caught, and m, to be ignored (D / 2).

    worse, better   the effect is significant and its point lies beyond m
    no change       the 90 % interval lies inside +/- D (two one-sided tests, Schuirmann 1987)
    inconclusive    neither: the data cannot tell

Both sizes act on the log scale, so swapping the two sides mirrors the verdict: a change of D means
the ratio, or its inverse, is 1 + D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.paired import LogEffect
from bench.analysis.power import MAX_PAIRS, pairs_needed, planned_pairs
from bench.analysis.student_t import t_quantile

ALPHA = 0.05


class Verdict(StrEnum):
    """What is said of one metric of one case."""

    WORSE = "worse"
    BETTER = "better"
    NO_CHANGE = "no change"
    INCONCLUSIVE = "inconclusive"
    NO_SAMPLES = "no samples"
    """A side has no value of the metric: a gate must fail on it, not pass."""
    NOT_COMPARABLE = "not comparable"
    """The number means something else on either side."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The two sizes of a metric, as relative changes.

    Attributes:
        catch: D, the change that must be caught; it also sets the sample size.
        ignore: m, the change to ignore; not above D.
    """

    catch: float
    ignore: float

    def __post_init__(self) -> None:
        if self.catch <= 0:
            raise ValueError(f"the change to catch must be above 0 %, not {_percent(self.catch)}")
        if not 0 <= self.ignore <= self.catch:
            raise ValueError(
                f"the change to ignore ({_percent(self.ignore)}) must lie between 0 and the change "
                f"to catch ({_percent(self.catch)})"
            )


def _percent(size: float) -> str:
    return f"{size * 100:.6g} %"


RATE_SIZES = Sizes(0.05, 0.025)
MEDIAN_SIZES = Sizes(0.10, 0.05)
TAIL_SIZES = Sizes(0.20, 0.10)
_TAILS = frozenset({"p90", "p95", "p99", "max"})


def default_sizes(metric: str) -> Sizes:
    """Rates 5 %, latencies 10 %, their tails (p90 and beyond) 20 %; ignored: half of it."""
    name, _, statistic = metric.partition(".")
    if statistic in _TAILS:
        return TAIL_SIZES
    return MEDIAN_SIZES if name.endswith("_s") and "_per_s" not in name else RATE_SIZES


def sizes_of(
    metric: str, catch: Mapping[str, float] | None = None, ignore: Mapping[str, float] | None = None
) -> Sizes:
    """The sizes of a metric, with a user's own (by flat metric id, or "*" for all) put in place.

    If only `catch` is given, half of it is ignored.

    Raises:
        ValueError: the change to ignore is above the change to catch.
    """
    default = default_sizes(metric)
    wanted_catch = _wanted(catch, metric)
    wanted_ignore = _wanted(ignore, metric)
    use_catch = default.catch if wanted_catch is None else wanted_catch
    if wanted_ignore is None:
        wanted_ignore = default.ignore if wanted_catch is None else use_catch / 2
    return Sizes(use_catch, wanted_ignore)


def _wanted(given: Mapping[str, float] | None, metric: str) -> float | None:
    if not given:
        return None
    return given.get(metric, given.get(metric.partition(".")[0], given.get("*")))


def decide(
    effect: LogEffect,
    sizes: Sizes,
    higher_is_better: bool,
    p_corrected: float,
    strict: bool = False,
) -> Verdict:
    """The three-way verdict.

    Args:
        effect: candidate against baseline.
        sizes: the two sizes of the metric.
        higher_is_better: for a rate; False for a latency.
        p_corrected: two-sided p after correction for how many metrics are judged (Holm or BH);
            with one metric it is the effect's own p, and `<= .05` is "the 95 % interval
            excludes 0".
        strict: call `worse` or `better` only if the whole 95 % interval lies beyond m.
    """
    margin = math.log1p(sizes.ignore)
    low, high = effect.log_interval(0.95)
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    beyond = (nearest if strict else abs(effect.log_ratio)) > margin
    if p_corrected <= ALPHA and beyond:
        gained = (effect.log_ratio > 0) == higher_is_better
        return Verdict.BETTER if gained else Verdict.WORSE
    low, high = effect.log_interval(0.90)
    limit = math.log1p(sizes.catch)
    if -limit < low and high < limit:
        return Verdict.NO_CHANGE
    return Verdict.INCONCLUSIVE


def pairs_to_settle(
    effect: LogEffect, pair_sd: float, sizes: Sizes, metrics: int = 1
) -> int | None:
    """How many pairs in all would settle an inconclusive effect; None if repetition will not.

    The larger of two answers: what a change of D takes to be seen at this noise with 80 % power,
    and where the verdict falls if the estimates stay as they are. For planning the *next* run:
    pairs added until the verdict pleases are worth nothing.

    Args:
        effect: as found.
        pair_sd: standard deviation of one pair's log ratio.
        sizes: the two sizes of the metric.
        metrics: how many primary metrics share alpha.
    """
    planned = pairs_needed(pair_sd, sizes.catch, metrics=metrics)
    if planned is None:
        return None

    def settled(pairs: int) -> bool:
        return _would_settle(effect.log_ratio, pair_sd, pairs, sizes, metrics)

    low, high = max(planned, 3) - 1, MAX_PAIRS
    if not settled(high):
        return None
    # What settles with some pairs settles with more: bisect.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return planned_pairs(max(high, effect.n + 1))


def _would_settle(log_ratio: float, pair_sd: float, pairs: int, sizes: Sizes, metrics: int) -> bool:
    error = pair_sd / math.sqrt(pairs)
    size = abs(log_ratio)
    significant = size > t_quantile(1 - ALPHA / metrics / 2, pairs - 1) * error
    if significant and size > math.log1p(sizes.ignore):
        return True
    return size + t_quantile(1 - ALPHA, pairs - 1) * error < math.log1p(sizes.catch)
