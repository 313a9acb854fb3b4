"""From a pilot to a plan: how noisy each metric is, what that can show, and what it takes.

What matters is the spread of the log ratio of a pair, whose two blocks have the same prompts. A run
in pairs shows it as it is. Of any other run it is put together: the spread between blocks, and that
of requests, both without what the lengths of prompts and answers explain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.comparison.case_matching import Match, match_sides
from bench.analysis.comparison.metric_verdicts import Rules, case_points
from bench.analysis.comparison.result import Design
from bench.analysis.comparison.verdict_rule import pairs_to_settle, sizes_of
from bench.analysis.run import rates
from bench.analysis.run.columns import Columns, Floats
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.analysis.run.steadiness import explained, lengths
from bench.analysis.run.summary import BlockSummary, CaseSummary, Summary
from bench.metrics import QUANTILES
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.results.run import RunInfo, RunStatus
from bench.stats.paired import MIN_PAIRS, log_ratios
from bench.stats.power import Noise, detectable_change, noise_of, sd_interval


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """What it takes to see a change of one metric of one case.

    Attributes:
        catch: the change that is to be seen, relative.
        pair_sd: standard deviation of one pair's log ratio (so about relative).
        pair_sd_low, pair_sd_high: its 95 % interval: how sure the pilot is of it.
        between_blocks, within_block: sb and sw, relative, where the pilot was not in pairs;
            `within_block` is None for a metric of whole blocks, whose spread is all in
            `between_blocks`.
        blocks: how many blocks (or pairs) of the pilot they come from.
        in_pairs: the pilot was in pairs.
        requests_per_block: of the pilot.
        detectable: the smallest change that `MIN_PAIRS` pairs show, relative; None if unknown.
        pairs: pairs needed for `catch`, never below `MIN_PAIRS`; None if no number will do.
        note: why something is not known.
    """

    case: str
    metric: str
    catch: float
    pair_sd: float | None = None
    pair_sd_low: float | None = None
    pair_sd_high: float | None = None
    between_blocks: float | None = None
    within_block: float | None = None
    blocks: int = 0
    in_pairs: bool = False
    requests_per_block: float = 0.0
    detectable: float | None = None
    pairs: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What a comparison with this scenario takes.

    Attributes:
        pairs: for all metrics together; None if no number of pairs will do for one of them.
        pair_s: how long one pair of blocks of every case takes, in seconds.
        notes: what to keep in mind about the pilot.
    """

    metrics: tuple[MetricPlan, ...]
    pairs: int | None
    pair_s: float
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long all pairs take."""
        return None if self.pairs is None else self.pairs * self.pair_s


def plan_comparison(
    info: RunInfo, records: Iterable[RequestRecord], summary: Summary, rules: Rules
) -> ComparisonPlan:
    """Plan a comparison in pairs from a pilot, or from any stored run.

    Raises:
        NotComparable: the pilot is in pairs, and holds no complete one.
    """
    if info.plan.scenario_b is None:
        measured = _from_blocks(info, records, summary, rules)
    else:
        measured = [_from_pairs(m, metric, rules)
                    for m in match_sides(summary.cases) for metric in rules.primary]  # fmt: skip
    # A metric of which the pilot tells nothing shares the level all the same.
    plans = [_planned(plan, len(measured), rules) for plan in measured]
    pairs = [plan.pairs for plan in plans if plan.pair_sd is not None]
    known = [n for n in pairs if n is not None]
    most = max(known) if known and len(known) == len(pairs) else None
    unknown = dict.fromkeys(plan.metric for plan in plans if plan.pair_sd is None)
    notes = list(_notes(info, summary))
    if unknown:
        notes.append(f"Nothing is known of the noise of {', '.join(unknown)}: not planned for.")
    return ComparisonPlan(tuple(plans), most, _pair_seconds(info), tuple(notes))


def _notes(info: RunInfo, summary: Summary) -> Iterator[str]:
    if info.status is not RunStatus.COMPLETE:
        done = sum(b.complete for b in info.blocks)
        of = len(info.plan.blocks)
        yield f"The pilot is incomplete ({info.status}): {done} of {of} blocks."
    if not summary.valid:
        reasons = "; ".join(w.message for w in summary.warnings if w.invalidates)
        yield f"The pilot is not a valid measurement: {reasons or 'see its report'}."
    unsteady = [c.id for c in summary.cases if c.steadiness.steady is False]
    if unsteady:
        yield (
            f"Not steady while it was measured: {', '.join(unsteady)}. Steps and drifts count as "
            "noise here, so more pairs are asked for than a steady machine would need."
        )


def _from_pairs(match: Match, metric: str, rules: Rules) -> MetricPlan:
    """From a run in pairs: the spread of its pairs, whatever the two sides differ in."""
    catch = sizes_of(metric, rules.catch, rules.ignore).catch
    a, b = ([p.value for p in side] for side in case_points(metric, *match.sides, Design.PAIRED))
    if len(a) < 2 or min(*a, *b) <= 0:
        why = f"the noise of pairs needs at least 2 pairs with values above 0, not {len(a)}"
        return MetricPlan(match.label, metric, catch, note=why)
    requests = [x.n_ok for case in match.sides for x in case.blocks]
    return MetricPlan(
        match.label,
        metric,
        catch,
        pair_sd=float(log_ratios(a, b).std(ddof=1)),
        blocks=len(a),
        in_pairs=True,
        requests_per_block=float(np.mean(requests)),
    )


def _planned(plan: MetricPlan, tests: int, rules: Rules) -> MetricPlan:
    """With what the spread of pairs means for the number of pairs, if that spread is known."""
    pair_sd = plan.pair_sd
    if pair_sd is None:
        return plan
    df = plan.blocks - 1
    sizes = sizes_of(plan.metric, rules.catch, rules.ignore)
    low, high = sd_interval(pair_sd, df)
    shown = detectable_change(
        pair_sd, MIN_PAIRS, metrics=tests, df=df, ignore=sizes.ignore, strict=rules.strict
    )
    return replace(
        plan,
        pair_sd_low=low,
        pair_sd_high=high,
        detectable=shown if math.isfinite(shown) else None,
        pairs=pairs_to_settle(pair_sd, sizes, tests, df, rules.strict),
    )


def _from_blocks(
    info: RunInfo, records: Iterable[RequestRecord], summary: Summary, rules: Rules
) -> list[MetricPlan]:
    ids = [case.id for case in info.plan.cases]
    columns = columns_of(list(records), ids)
    whole = [b.index for b in info.blocks if b.complete]
    kept = columns.select(columns.measured & columns.ok & np.isin(columns.block, whole))
    return [
        _from_case(info, kept.select(kept.case == ids.index(case.id)), case, metric, rules)
        for case in summary.cases
        for metric in rules.primary
    ]


def _from_case(
    info: RunInfo, columns: Columns, case: CaseSummary, metric: str, rules: Rules
) -> MetricPlan:
    catch = sizes_of(metric, rules.catch, rules.ignore).catch
    values = _per_request(info, columns, case, metric)
    try:
        if values is not None:
            noise = _noise_of_requests(values, columns, QUANTILES.get(metric.partition(".")[2]))
            within: float | None = noise.within_block
        else:
            noise, within = _noise_of_blocks(case.blocks, metric), None
    except ValueError as error:
        return MetricPlan(case.id, metric, catch, note=str(error))
    return MetricPlan(
        case.id,
        metric,
        catch,
        pair_sd=noise.pair_sd,
        between_blocks=noise.between_blocks,
        within_block=within,
        blocks=noise.blocks,
        requests_per_block=noise.requests_per_block,
    )


def _per_request(info: RunInfo, columns: Columns, case: CaseSummary, metric: str) -> Floats | None:
    name = metric.partition(".")[0]
    if name != "decode_tok_per_s":
        return latencies(columns).get(name)
    model = (case.target, case.model)
    formats = (m.format for m in info.models if (m.target, m.name) == model and m.format)
    era = era_of(case.identity.server_version, next(formats, "gguf"))
    return rates.decode(columns, era).per_request


def _noise_of_requests(values: Floats, columns: Columns, quantile: float | None) -> Noise:
    usable = np.isfinite(values) & (values > 0)
    values, columns = values[usable], columns.select(usable)
    part = explained(np.log(values)[:, None], columns.block, lengths(columns))[:, 0]
    rows = [columns.block == b for b in np.unique(columns.block)]
    return noise_of([values[r] for r in rows], quantile, [part[r] for r in rows])


def _noise_of_blocks(blocks: Sequence[BlockSummary], metric: str) -> Noise:
    """All of the spread between blocks' values; what requests add to it is in there."""
    values = [b.values[metric] for b in blocks if b.values.get(metric, 0.0) > 0]
    if len(values) < 2:
        raise ValueError(f"the noise between blocks needs at least 2 blocks, not {len(values)}")
    spread = float(np.log(values).std(ddof=1))
    return Noise(spread, 0.0, len(values), float(np.mean([b.n_ok for b in blocks])))


def _pair_seconds(info: RunInfo) -> float:
    """Two blocks of every case, at the mean length they had; a run in pairs has both cases."""
    total = 0.0
    for case in info.plan.cases:
        took = [b.end_ns - b.start_ns for b in info.blocks if b.case == case.id and b.complete]
        total += 2 * float(np.mean(took)) / 1e9 if took else 0.0
    return total / (1 if info.plan.scenario_b is None else 2)
