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

from bench.stats.paired import LogEffect
from bench.stats.power import pairs_needed, planned_pairs

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
_SPEEDS_AS_TIMES = frozenset({"tpot_s", "itl_s", "eval_s", "prompt_eval_s"})
"""Times that are a speed read the other way round: one quantity has one size."""


def default_sizes(metric: str) -> Sizes:
    """Speeds 5 %, latencies 10 %, tails (p90 and beyond) 20 %; ignored: half of it."""
    name, _, statistic = metric.partition(".")
    if statistic in _TAILS:
        return TAIL_SIZES
    if name in _SPEEDS_AS_TIMES:
        return RATE_SIZES
    return MEDIAN_SIZES if name.endswith("_s") and "_per_s" not in name else RATE_SIZES


def sizes_of(
    metric: str, catch: Mapping[str, float] | None = None, ignore: Mapping[str, float] | None = None
) -> Sizes:
    """The sizes of a metric, with a user's own (by flat metric id, or "*" for all) put in place.

    Without `ignore`, half of what is to be caught is ignored.

    Raises:
        ValueError: the change to ignore is above the change to catch.
    """
    wanted_catch, wanted_ignore = (
        given.get(metric, given.get(metric.partition(".")[0], given.get("*"))) if given else None
        for given in (catch, ignore)
    )
    size = default_sizes(metric).catch if wanted_catch is None else wanted_catch
    return Sizes(size, size / 2 if wanted_ignore is None else wanted_ignore)


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
    pair_sd: float,
    sizes: Sizes,
    metrics: int = 1,
    df: float = math.inf,
    strict: bool = False,
    done: int = 0,
) -> int | None:
    """How many pairs would tell; None if repetition will not.

    The number that `plan` gives for the same noise: what a change of D takes to be called with 80 %
    power. None as well if there are so many pairs already: then the change lies too near to one of
    the two sizes, and no number promises anything. For planning the *next* run: pairs added until
    the verdict pleases are worth nothing.

    Args:
        pair_sd: standard deviation of one pair's log ratio.
        sizes: the two sizes of the metric.
        metrics: how many primary metrics share alpha.
        df: degrees of freedom of `pair_sd`.
        strict: as for `decide`.
        done: pairs that there are.
    """
    needed = pairs_needed(
        pair_sd, sizes.catch, metrics=metrics, df=df, ignore=sizes.ignore, strict=strict
    )
    planned = None if needed is None else planned_pairs(needed)
    return None if planned is None or planned <= done else planned
