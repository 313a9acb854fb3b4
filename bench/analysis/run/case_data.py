"""What one case is made of: its plan, its era, its blocks and its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.analysis.run import latency, rates
from bench.analysis.run.columns import CANCELLED, Bools, Columns, Floats
from bench.analysis.run.gaps import Gaps, Streams
from bench.analysis.run.goodput import goodness
from bench.analysis.run.plausibility import refuse_cut_counts
from bench.analysis.run.rates import RateParts
from bench.analysis.run.stream_shape import CARRIES_GAPS
from bench.analysis.run.windows import BlockThroughput, block_throughput, window_of
from bench.ollama.eras import Era
from bench.results.run import BlockInfo, ModelInfo, TargetInfo
from bench.scenario.plan import Block, Case
from bench.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class CaseData:
    """All that the metrics of one case are computed from.

    Attributes:
        sent: every record of the case, whatever phase and outcome.
        columns: these without the controls.
        controls: requests that only show what pictures or a format cost; they hold slots and take
            time as others do, and are in none of the following but `throughput`.
        measured: its measured requests, failed ones among them.
        judged: those of them that say something of the server: not those that we stopped.
        ok: those that ended well; only these have latencies and rates.
        times: metric id -> one value a row of `ok`.
        decode, ollama_decode, prefill: rate parts, one a row of `ok`.
        gaps: between the chunks of those of `ok` whose gaps mean anything.
        plan_blocks, infos: of the blocks that have records or were begun, by block index.
        throughput: of the blocks with a window, by block index.
        good: which rows of `judged` met every requirement; all False without requirements.
        without: which rows of `judged` broke none, but have no value for one of them.
        requirements: per-request limits that follow from the thresholds.
    """

    case: Case
    target: TargetInfo
    model: ModelInfo
    era: Era
    sent: Columns
    columns: Columns
    controls: Columns
    measured: Columns
    judged: Columns
    ok: Columns
    times: dict[str, Floats]
    decode: RateParts
    ollama_decode: RateParts
    prefill: RateParts
    gaps: Gaps
    plan_blocks: dict[int, Block]
    infos: dict[int, BlockInfo]
    throughput: dict[int, BlockThroughput]
    good: Bools
    without: Bools
    requirements: tuple[Threshold, ...]

    @property
    def busted(self) -> bool:
        """Every prompt unique, so that a cache miss is assured."""
        return self.case.prompts.cache == "bust"

    @property
    def block_order(self) -> list[int]:
        """Indices of the blocks that were begun or have records, in the order of the plan."""
        return sorted(set(self.infos) | set(np.unique(self.columns.block).tolist()))


def case_data(
    case: Case,
    target: TargetInfo,
    model: ModelInfo,
    era: Era,
    columns: Columns,
    streams: Streams,
    plan_blocks: dict[int, Block],
    infos: dict[int, BlockInfo],
    requirements: tuple[Threshold, ...],
) -> CaseData:
    """Computes what every metric of the case needs."""
    sent = refuse_cut_counts(columns, context_of(case, infos))
    controls = sent.select(sent.work.control & sent.measured & sent.ok)
    columns = sent.select(~sent.work.control)
    measured = columns.select(columns.measured)
    ok = measured.select(measured.ok)
    times = latency.latencies(ok)
    decode = rates.decode(ok, era)
    carries = np.isin(ok.shape, CARRIES_GAPS)
    per_request = times | {"decode_tok_per_s": decode.per_request}
    judged_rows = goodness(per_request, requirements, len(ok))
    good_rows = ok.row[judged_rows.good]
    judged = measured.select(measured.outcome != CANCELLED)
    return CaseData(
        case=case,
        target=target,
        model=model,
        era=era,
        sent=sent,
        columns=columns,
        controls=controls,
        measured=measured,
        judged=judged,
        ok=ok,
        times=times,
        decode=decode,
        ollama_decode=rates.ollama_decode(ok, era),
        prefill=rates.prefill(ok, era, case.prompts.cache == "bust"),
        gaps=streams.gaps_of(ok.row[carries]),
        plan_blocks=plan_blocks,
        infos=infos,
        throughput=_throughput(sent, infos, np.isin(sent.row, good_rows)),
        good=np.isin(judged.row, good_rows),
        without=np.isin(judged.row, ok.row[judged_rows.without]),
        requirements=requirements,
    )


def context_of(case: Case, infos: Mapping[int, BlockInfo]) -> int | None:
    """Tokens that a slot holds: as served, else as asked; None = unknown."""
    readings = [r for i in infos.values() for r in (i.before, i.after) if r is not None]
    served = [r.served_context for r in readings if r.served_context]
    asked = case.options.get("num_ctx")
    return min(served) if served else asked if isinstance(asked, int) else None


def _throughput(
    columns: Columns, infos: dict[int, BlockInfo], good: Bools
) -> dict[int, BlockThroughput]:
    found = {}
    for index in np.unique(columns.block).tolist():
        rows = columns.block == index
        block = columns.select(rows)
        done = block_throughput(block, window_of(block, infos.get(index)), good[rows])
        if done.seconds > 0:
            found[index] = done
    return found
