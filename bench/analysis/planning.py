"""From a pilot to a plan: how noisy each metric is, what that can show, and what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis import rates
from bench.analysis.columns import Columns, Floats, columns_of
from bench.analysis.judging import Rules
from bench.analysis.latency import latencies
from bench.analysis.metrics import QUANTILES
from bench.analysis.paired import MIN_PAIRS
from bench.analysis.power import Noise, detectable_change, noise_of, pairs_needed, planned_pairs
from bench.analysis.summary import BlockSummary, CaseSummary, Summary
from bench.analysis.verdict import sizes_of
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.results.run import RunInfo

_RATES = {"decode_tok_per_s": rates.decode}


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """What it takes to see a change of one metric of one case.

    Attributes:
        catch: the change that is to be seen, relative.
        between_blocks, within_block: sb and sw, relative; `within_block` is None for a metric of
            whole blocks, whose spread is all in `between_blocks`.
        blocks: how many blocks of the pilot they come from.
        requests_per_block: of the pilot.
        detectable: the smallest change that `MIN_PAIRS` pairs show, relative; None if unknown.
        pairs: pairs needed for `catch`, never below `MIN_PAIRS`; None if no number will do.
        note: why something is not known.
    """

    case: str
    metric: str
    catch: float
    between_blocks: float | None = None
    within_block: float | None = None
    blocks: int = 0
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
    """

    metrics: tuple[MetricPlan, ...]
    pairs: int | None
    pair_s: float

    @property
    def seconds(self) -> float | None:
        """How long all pairs take."""
        return None if self.pairs is None else self.pairs * self.pair_s


def plan_comparison(
    info: RunInfo, records: Iterable[RequestRecord], summary: Summary, rules: Rules
) -> ComparisonPlan:
    """Plan a comparison in pairs from a pilot, or from any stored run.

    Args:
        info: run.json of the pilot.
        records: its requests.
        summary: its summary.
        rules: which metrics gate, and the changes to be caught.
    """
    ids = [case.id for case in info.plan.cases]
    columns = columns_of(list(records), ids)
    kept = columns.select(columns.measured & columns.ok)
    tests = len(rules.primary) * len(summary.cases) // _sides(info)
    plans = [
        _metric_plan(info, kept.select(kept.case == ids.index(case.id)), case, metric, rules, tests)
        for case in summary.cases
        for metric in rules.primary
    ]
    needed = [plan.pairs for plan in plans if plan.between_blocks is not None]
    known = [pairs for pairs in needed if pairs is not None]
    all_known = bool(needed) and len(known) == len(needed)
    return ComparisonPlan(tuple(plans), max(known) if all_known else None, _pair_seconds(info))


def _metric_plan(
    info: RunInfo, columns: Columns, case: CaseSummary, metric: str, rules: Rules, tests: int
) -> MetricPlan:
    catch = sizes_of(metric, rules.catch, rules.ignore).catch
    plan = MetricPlan(case.id, metric, catch)
    values = _per_request(info, columns, case, metric)
    try:
        if values is not None:
            noise = noise_of(_by_block(values, columns), QUANTILES.get(metric.partition(".")[2]))
            within: float | None = noise.within_block
        else:
            noise, within = _noise_of_blocks(case.blocks, metric), None
    except ValueError as error:
        return MetricPlan(case.id, metric, catch, note=str(error))
    sd = noise.pair_sd
    needed = pairs_needed(sd, plan.catch, metrics=tests) if sd > 0 else 2
    return MetricPlan(
        case=case.id,
        metric=metric,
        catch=catch,
        between_blocks=noise.between_blocks,
        within_block=within,
        blocks=noise.blocks,
        requests_per_block=noise.requests_per_block,
        detectable=detectable_change(sd, MIN_PAIRS, metrics=tests),
        pairs=None if needed is None else planned_pairs(needed),
    )


def _per_request(info: RunInfo, columns: Columns, case: CaseSummary, metric: str) -> Floats | None:
    """The metric of each request; None if only a whole block has one."""
    name = metric.partition(".")[0]
    if name in _RATES:
        return _RATES[name](columns, era_of(case.identity.server_version, _format(info, case)))\
            .per_request  # fmt: skip
    return latencies(columns).get(name)


def _format(info: RunInfo, case: CaseSummary) -> str:
    for model in info.models:
        if (model.target, model.name) == (case.target, case.model):
            return model.format or "gguf"
    return "gguf"


def _by_block(values: Floats, columns: Columns) -> list[Floats]:
    usable = np.isfinite(values) & (values > 0)
    return [values[usable & (columns.block == b)] for b in np.unique(columns.block)]


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
        lengths = [b.end_ns - b.start_ns for b in info.blocks if b.case == case.id and b.complete]
        total += 2 * float(np.mean(lengths)) / 1e9 if lengths else 0.0
    return total / _sides(info)


def _sides(info: RunInfo) -> int:
    """How many cases of the plan make one comparison of two sides."""
    return 1 if info.plan.scenario_b is None else 2
