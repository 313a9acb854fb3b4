"""From block values to verdicts: measures every metric of the matched cases, then judges all.

Two passes, because the correction for several metrics needs all p values first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.analysis.comparison.result import BlockPoint, Design, MetricComparison
from bench.analysis.comparison.setup_difference import Role, SetupDifference
from bench.analysis.comparison.verdict_rule import (
    ALPHA,
    Sizes,
    Verdict,
    decide,
    pairs_to_settle,
    sizes_of,
)
from bench.analysis.run.summary import BlockSummary, CaseSummary
from bench.metrics import BLOCK_QUANTILE_MIN, METRICS
from bench.stats.holm import benjamini_hochberg, holm_adjusted
from bench.stats.paired import MIN_PAIRS, LogEffect, log_ratios, paired_effect, sign_flip_p
from bench.stats.sessions import MIN_SESSIONS, session_noise
from bench.stats.welch import satterthwaite, unpaired_effect

Sessions = Callable[[CaseSummary, str], Sequence[float]]
"""Values of a metric in earlier sessions of the same case and identity."""

_SECONDARY_STATISTICS = ("", "p50", "p95")
_NOT_COMPARED = frozenset({"ollama_tok_per_s", "send_delay_s", "goodput_share"})
_COMPARED_SHARES = frozenset({"mem_bw_share"})
"""Shares that are a speed, never 0 by luck."""

_UNUSUAL = "the baseline is itself unlike the earlier sessions"
_SEEN = "earlier sessions were about as far from the others as this one"


def no_sessions(case: CaseSummary, metric: str) -> Sequence[float]:
    """No history is known."""
    del case, metric
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How to judge.

    Attributes:
        allow: keys of differences that are allowed.
        catch, ignore: own sizes of changes by metric id, e.g. {"ttft_s.p50": 0.2}; "*" = all.
        primary: metrics that gate.
        strict: call a change only if its whole interval lies beyond what is ignored.
    """

    allow: frozenset[str] = frozenset()
    catch: Mapping[str, float] = field(default_factory=dict)
    ignore: Mapping[str, float] = field(default_factory=dict)
    primary: tuple[str, ...] = ()
    strict: bool = False


@dataclass(frozen=True, slots=True)
class MeasuredMetric:
    """One metric of one case, measured but not yet judged.

    Attributes:
        effect: None if there is none (`row.note` says why).
        pair_sd: standard deviation of one pair's log ratio, for planning.
        pair_df: its degrees of freedom.
        lost: blocks of the candidate without a value: what is left may look better than it is.
    """

    row: MetricComparison
    sizes: Sizes
    effect: LogEffect | None = None
    pair_sd: float = math.nan
    pair_df: float = math.inf
    lost: int = 0


def compared_metrics(a: CaseSummary, b: CaseSummary, primary: Sequence[str]) -> list[str]:
    """Flat ids of the metrics to compare: the primary ones first, whether or not they exist."""
    found = dict.fromkeys(k for case in (a, b) for block in case.blocks for k in block.values)
    secondary = [m for m in found if m not in primary and _is_compared(m)]
    return [*dict.fromkeys(primary), *secondary]


def _is_compared(metric: str) -> bool:
    name, _, statistic = metric.partition(".")
    kind = METRICS.get(name)
    return (
        kind is not None
        and kind.better != ""
        and (kind.kind not in ("share", "count") or name in _COMPARED_SHARES)
        and name not in _NOT_COMPARED
        and statistic in _SECONDARY_STATISTICS
    )


def measure_metric(
    metric: str,
    a: CaseSummary,
    b: CaseSummary,
    design: Design,
    rules: Rules,
    differences: Sequence[SetupDifference],
    sessions: Sessions = no_sessions,
) -> MeasuredMetric:
    """Measure one metric: effect, interval and p value, or why there is none.

    Earlier sessions of the baseline's identity count for separate runs only.
    """
    kind = METRICS.get(metric.partition(".")[0])
    sizes = sizes_of(metric, rules.catch, rules.ignore)
    points = case_points(metric, a, b, design)
    row = MetricComparison(
        metric=metric,
        unit=kind.unit if kind else "",
        better=(kind.better if kind else "") or "higher",
        primary=metric in rules.primary,
        catch=sizes.catch,
        ignore=sizes.ignore,
        verdict=Verdict.INCONCLUSIVE,
        baseline=_level(points[0]),
        candidate=_level(points[1]),
        n=min(len(points[0]), len(points[1])),
        baseline_blocks=points[0],
        candidate_blocks=points[1],
    )
    for d in differences:
        if d.role is Role.WITHHOLDS and d.touches(metric):
            row = replace(row, verdict=Verdict.NOT_COMPARABLE, note=d.message)
            return MeasuredMetric(row, sizes)
    why_not = _no_effect(row, a, b, design)
    if why_not is not None:
        return MeasuredMetric(why_not, sizes)
    if design is Design.PAIRED:
        made = _paired(row, sizes)
    else:
        made = _separate(row, sizes, sessions(a, metric))
    of = [x for x in b.blocks if design is not Design.PAIRED or x.side == "b"]
    # A block with too few answers for a percentile says nothing of the others.
    least = BLOCK_QUANTILE_MIN.get(metric.partition(".")[2], 1)
    lost = sum(not (_usable(x, metric) or 0 < x.n_ok < least) for x in of)
    said = f"no value in {lost} of {len(of)} blocks of the candidate" if lost else ""
    note = "; ".join(filter(None, (made.row.note, said)))
    return replace(made, row=replace(made.row, note=note), lost=lost)


def judge_metrics(measured: Sequence[MeasuredMetric], rules: Rules) -> list[MetricComparison]:
    """Correct for the number of metrics, and give every metric its verdict.

    `measured` are all metrics of all cases of one comparison: Holm spans them.
    """
    corrected: dict[int, float] = {}
    for gates, correct in ((False, benjamini_hochberg), (True, holm_adjusted)):
        tested = {i: m.effect.p_value for i, m in enumerate(measured)
                  if m.effect is not None and m.row.primary is gates}  # fmt: skip
        corrected |= zip(tested, correct(list(tested.values())), strict=True)
    return [_judged(m, corrected.get(i), rules, len(tested)) for i, m in enumerate(measured)]


def _judged(m: MeasuredMetric, p: float | None, rules: Rules, gates: int) -> MetricComparison:
    if m.effect is None or p is None:
        return m.row
    verdict = decide(m.effect, m.sizes, m.row.better == "higher", p, rules.strict)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        share = gates if m.row.primary else 1
        done = 0 if m.row.sign_flip_p is None else m.effect.n  # separate runs have no pairs
        needed = pairs_to_settle(m.pair_sd, m.sizes, share, m.pair_df, rules.strict, done)
    flattered = m.lost > 0 and verdict is not Verdict.WORSE
    return replace(
        m.row,
        verdict=verdict,
        indicative=m.row.indicative or flattered,
        p_corrected=p,
        pairs_needed=needed,
    )


def _no_effect(
    row: MetricComparison, a: CaseSummary, b: CaseSummary, design: Design
) -> MetricComparison | None:
    """The row with its reason, if there is no effect to be had; None if there is."""
    counts = (len(row.baseline_blocks), len(row.candidate_blocks))
    if min(counts) == 0:
        side, absent = ("the candidate", b) if counts[1] == 0 else ("the baseline", a)
        side = side if max(counts) else "either side"
        stored = absent.metrics.get(row.metric.partition(".")[0])
        reason = f": {stored.note}" if stored and stored.note not in ("", "no samples") else ""
        note = f"no samples on {side}{reason}"
        return replace(row, verdict=Verdict.NO_SAMPLES, note=note)
    if min(counts) < 2:
        unit = "pairs" if design is Design.PAIRED else "blocks a side"
        note = f"too few blocks: has {min(counts)} {unit}, needs at least 2, better {MIN_PAIRS}"
        return replace(row, note=note)
    if any(p.value <= 0 for p in (*row.baseline_blocks, *row.candidate_blocks)):
        return replace(row, note="no relative change: a block's value is 0")
    return None


def _paired(row: MetricComparison, sizes: Sizes) -> MeasuredMetric:
    d = log_ratios([p.value for p in row.baseline_blocks], [p.value for p in row.candidate_blocks])
    effect = paired_effect(d)
    row = replace(
        _with_effect(row, effect),
        sign_flip_p=sign_flip_p(d),
        indicative=effect.n < MIN_PAIRS,
        note=f"{effect.n} pairs, {MIN_PAIRS} are needed" if effect.n < MIN_PAIRS else "",
    )
    return MeasuredMetric(row, sizes, effect, float(d.std(ddof=1)), d.size - 1)


def _separate(row: MetricComparison, sizes: Sizes, earlier: Sequence[float]) -> MeasuredMetric:
    a = np.array([p.value for p in row.baseline_blocks])
    b = np.array([p.value for p in row.candidate_blocks])
    known = [v for v in earlier if v > 0]
    noise = session_noise(known) if len(known) >= MIN_SESSIONS else None
    effect = unpaired_effect(a, b, noise)
    doubt = ""
    if noise is not None and row.baseline and row.candidate:
        if noise.is_unusual(row.baseline, float(np.log(a).std(ddof=1)) / math.sqrt(a.size)):
            doubt = _UNUSUAL
        elif effect.p_value <= ALPHA and noise.has_seen(row.candidate, row.baseline):
            doubt = _SEEN
    row = replace(
        _with_effect(row, effect),
        indicative=noise is None or bool(doubt),
        sessions=len(known),
        note=doubt,
    )
    variances = [(float(np.log(v).var(ddof=1)), float(v.size - 1)) for v in (a, b)]
    pair_variance, pair_df = satterthwaite(variances)
    return MeasuredMetric(row, sizes, effect, math.sqrt(pair_variance), pair_df)


def _with_effect(row: MetricComparison, effect: LogEffect) -> MetricComparison:
    low, high = effect.interval()
    return replace(row, change=effect.ratio_change, low=low, high=high, p_value=effect.p_value)


def _level(points: Sequence[BlockPoint]) -> float | None:
    """Geometric mean, so that the two levels' ratio is the effect; mean if there is none."""
    values = [p.value for p in points]
    if not values:
        return None
    return float(np.exp(np.log(values).mean())) if min(values) > 0 else float(np.mean(values))


def case_points(
    metric: str, a: CaseSummary, b: CaseSummary, design: Design
) -> tuple[tuple[BlockPoint, ...], tuple[BlockPoint, ...]]:
    """The block values of both sides: of whole pairs only where the two were measured in pairs."""
    paired = design is Design.PAIRED
    found = [
        {x.pair if paired else x.index: x for x in case.blocks
         if _usable(x, metric) and (not paired or x.side == side)}
        for case, side in ((a, "a"), (b, "b"))
    ]  # fmt: skip
    if paired:
        both = [pair for pair in found[0] if pair is not None and pair in found[1]]
        found = [{pair: one[pair] for pair in both} for one in found]
    first, second = (
        tuple(BlockPoint(x.values[metric], x.start_s, x.pair, x.position) for x in one.values())
        for one in found
    )
    return first, second


def _usable(block: BlockSummary, metric: str) -> bool:
    return metric in block.values and math.isfinite(block.values[metric])
