"""What one case is made of: its plan, its era, its blocks and its requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.analysis import latency, rates
from bench.analysis.columns import CANCELLED, Bools, Columns, Floats, Gaps
from bench.analysis.goodput import Requirement, meets_all
from bench.analysis.rates import RateParts
from bench.analysis.windows import BlockThroughput, block_throughput, window_of
from bench.ollama.eras import Era
from bench.results.run import BlockInfo, ModelInfo, TargetInfo
from bench.scenario.plan import Block, Case


@dataclass(frozen=True, slots=True)
class CaseData:
    """All that the metrics of one case are computed from.

    Attributes:
        columns: every record of the case, whatever phase and outcome.
        measured: its measured requests, failed ones among them.
        judged: those of them that say something of the server: not those that we stopped.
        ok: those that ended well; only these have latencies and rates.
        times: metric id -> one value a row of `ok`.
        decode, ollama_decode, prefill: rate parts, one a row of `ok`.
        gaps: between the chunks of `ok`.
        plan_blocks, infos: of the blocks that have records or were begun, by block index.
        throughput: of the blocks with a window, by block index.
        good: which rows of `judged` met every requirement; all False without requirements.
        requirements: per-request limits that follow from the thresholds.
    """

    case: Case
    target: TargetInfo
    model: ModelInfo
    era: Era
    columns: Columns
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
    requirements: tuple[Requirement, ...]

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
    gaps: Gaps,
    plan_blocks: dict[int, Block],
    infos: dict[int, BlockInfo],
    requirements: tuple[Requirement, ...],
) -> CaseData:
    """Computes what every metric of the case needs.

    Args:
        case: as planned.
        target: the server as it was found.
        model: the model as it was found there.
        era: of that server, for that model.
        columns: every record of the case.
        gaps: of the whole run.
        plan_blocks: of the case, by index.
        infos: of those of its blocks that were begun, by index.
        requirements: limits that each request should meet.
    """
    measured = columns.select(columns.measured)
    ok = measured.select(measured.ok)
    times = latency.latencies(ok)
    decode = rates.decode(ok, era)
    per_request = times | {"decode_tok_per_s": decode.per_request}
    good_rows = ok.row[meets_all(per_request, requirements)]
    good = np.isin(columns.row, good_rows)
    judged = measured.select(measured.outcome != CANCELLED)
    return CaseData(
        case=case,
        target=target,
        model=model,
        era=era,
        columns=columns,
        measured=measured,
        judged=judged,
        ok=ok,
        times=times,
        decode=decode,
        ollama_decode=rates.ollama_decode(ok, era),
        prefill=rates.prefill(ok, era, case.prompts.cache == "bust"),
        gaps=gaps.of_rows(ok.row),
        plan_blocks=plan_blocks,
        infos=infos,
        throughput=_throughput(columns, infos, good),
        good=np.isin(judged.row, good_rows),
        requirements=requirements,
    )


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
