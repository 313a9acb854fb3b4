"""What one case is made of: its plan, its era, its blocks and its requests.

Goodput: a threshold on a per-request metric says, request by request, what good enough is: of
`ttft_s.p95 <= 2` each request must have a `ttft_s` of at most 2. A request is good if it ended well
and meets all of them. One that never got the thing, a first answer say, does not meet it. One that
has no value for another reason (an answer too short to have a decode rate) cannot be judged by it:
if it breaks nothing else it is neither good nor bad, and is counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.analysis.run import latency, rates
from bench.analysis.run.columns import CANCELLED, Bools, Columns, Floats
from bench.analysis.run.evidence import CARRIES_GAPS
from bench.analysis.run.gaps import Gaps, Streams
from bench.analysis.run.plausibility import refuse_cut_counts
from bench.analysis.run.rates import RateParts
from bench.analysis.run.windows import BlockThroughput, block_throughput, window_of
from bench.metrics import METRICS
from bench.ollama.eras import Era, era_of
from bench.results.run import BlockInfo, ModelInfo, Residency, RunInfo, TargetInfo
from bench.scenario.plan import Block, Case
from bench.thresholds import Threshold


@dataclass(frozen=True)
class CaseData:
    """All that the metrics of one case are computed from; each thing is computed once.

    Attributes:
        sent: every record of the case, whatever phase and outcome.
        plan_blocks, infos: of the blocks that have records or were begun, by block index.
        requirements: per-request limits that follow from the thresholds.
    """

    case: Case
    target: TargetInfo
    model: ModelInfo
    era: Era
    sent: Columns
    streams: Streams
    plan_blocks: dict[int, Block]
    infos: dict[int, BlockInfo]
    requirements: tuple[Threshold, ...]

    @cached_property
    def columns(self) -> Columns:
        """What was sent, without the controls."""
        return self.sent.select(~self.sent.work.control)

    @cached_property
    def controls(self) -> Columns:
        """Requests that only show what pictures or a format cost.

        They hold slots and take time as others do, and are in nothing else but `throughput`.
        """
        return self.sent.select(self.sent.work.control & self.sent.measured & self.sent.ok)

    @cached_property
    def measured(self) -> Columns:
        """Measured requests, failed ones among them."""
        return self.columns.select(self.columns.measured)

    @cached_property
    def judged(self) -> Columns:
        """Those of them that say something of the server: not those that we stopped."""
        return self.measured.select(self.measured.outcome != CANCELLED)

    @cached_property
    def ok(self) -> Columns:
        """Those of them that ended well; only these have latencies and rates."""
        return self.measured.select(self.measured.ok)

    @cached_property
    def times(self) -> dict[str, Floats]:
        """Metric id -> one value a row of `ok`."""
        return latency.latencies(self.ok)

    @cached_property
    def rates(self) -> dict[str, RateParts]:
        """Metric id of a speed -> its parts, one a row of `ok`."""
        return {
            "decode_tok_per_s": rates.decode(self.ok, self.era),
            "ollama_tok_per_s": rates.ollama_decode(self.ok, self.era),
            "prefill_tok_per_s": rates.prefill(self.ok, self.era, self.busted),
        }

    def per_request(self, id: str) -> Floats | None:
        """One value a row of `ok`, NaN = absent; None for a metric that single requests lack."""
        if id in self.rates:
            return self.rates[id].per_request
        if id == "context_tokens":
            return np.where(self.ok.work.session >= 0, self.ok.prompt_tokens, np.nan)
        return getattr(self.ok, id) if METRICS[id].kind == "tokens" else self.times.get(id)

    @cached_property
    def gaps(self) -> Gaps:
        """Between the chunks of those of `ok` whose gaps mean anything."""
        return self.streams.gaps_of(self.ok.row[np.isin(self.ok.shape, CARRIES_GAPS)])

    @cached_property
    def _goodness(self) -> tuple[Bools, Bools]:
        speed = {"decode_tok_per_s": self.rates["decode_tok_per_s"].per_request}
        return goodness(self.times | speed, self.requirements, len(self.ok))

    @cached_property
    def good(self) -> Bools:
        """Which rows of `judged` met every requirement; all False without requirements."""
        return np.isin(self.judged.row, self.ok.row[self._goodness[0]])

    @cached_property
    def without(self) -> Bools:
        """Which rows of `judged` broke none, but have no value for one of them."""
        return np.isin(self.judged.row, self.ok.row[self._goodness[1]])

    @cached_property
    def throughput(self) -> dict[int, BlockThroughput]:
        """Of the blocks with a window, by block index."""
        good = np.isin(self.sent.row, self.ok.row[self._goodness[0]])
        found = {}
        for index in np.unique(self.sent.block).tolist():
            rows = self.sent.block == index
            block = self.sent.select(rows)
            done = block_throughput(block, window_of(block, self.infos.get(index)), good[rows])
            if done.seconds > 0:
                found[index] = done
        return found

    @property
    def busted(self) -> bool:
        """Every prompt unique, so that a cache miss is assured."""
        return self.case.prompts.cache == "bust"

    @property
    def block_order(self) -> list[int]:
        """Indices of the blocks that were begun or have records, in the order of the plan."""
        return sorted(set(self.infos) | set(np.unique(self.columns.block).tolist()))

    @property
    def readings(self) -> list[Residency]:
        """What the server said of the model before and after each block."""
        return [r for i in self.infos.values() for r in (i.before, i.after) if r is not None]

    @property
    def dropped(self) -> int:
        """Arrivals that were never sent."""
        return sum(info.dropped for info in self.infos.values())

    @property
    def gpu_shares(self) -> list[float]:
        """Every reading of size_vram / size around the case's blocks."""
        return [r.gpu_share for r in self.readings if r.gpu_share is not None]

    @property
    def context(self) -> int | None:
        """Tokens that a slot holds: as served, else as asked; None = unknown."""
        served = [r.served_context for r in self.readings if r.served_context]
        asked = self.case.options.get("num_ctx")
        return min(served) if served else asked if isinstance(asked, int) else None


def case_data(info: RunInfo, case: Case, sent: Columns, streams: Streams) -> CaseData:
    """What there is of a case in the records of a run."""
    target = TargetInfo(name=case.target, url="", version="", era="")
    target = next((t for t in info.targets if t.name == case.target), target)
    model = ModelInfo(target=case.target, name=case.model)
    asked = (case.target, case.model)
    model = next((m for m in info.models if (m.target, m.name) == asked), model)
    data = CaseData(
        case,
        target,
        model,
        era_of(target.version, model.format or "gguf"),
        sent,
        streams,
        {b.index: b for b in info.plan.blocks if b.case == case.id},
        {b.index: b for b in info.blocks if b.case == case.id},
        tuple(t for t in info.plan.thresholds if t.kind.quality),
    )
    return replace(data, sent=refuse_cut_counts(sent, data.context))


def goodness(
    values: Mapping[str, Floats], requirements: Sequence[Threshold], rows: int
) -> tuple[Bools, Bools]:
    """Which of some requests that ended well are good enough, and which cannot be judged.

    None is either if nothing is required.
    """
    good = np.full(rows, bool(requirements))
    bad = np.zeros(rows, dtype=np.bool_)
    for required in requirements:
        value = values[required.metric]
        met = required.holds(value)
        good &= met
        bad |= ~met & (~np.isnan(value) | (required.kind.missing == "never"))
    return good, ~good & ~bad & bool(requirements)


def unjudged(data: CaseData) -> str:
    """Says how many requests could not be judged, and by what; "" if all could."""
    count = int(data.without.sum())
    if not count:
        return ""
    required = (r for r in data.requirements if r.kind.missing != "never")
    names = ", ".join(dict.fromkeys(r.metric for r in required))
    have = "has" if count == 1 else "have"
    return f"{count:,} of {len(data.without):,} requests {have} no {names} to judge"
