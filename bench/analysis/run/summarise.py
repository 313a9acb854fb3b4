"""From the records of a run to its summary: a pure function."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench.analysis.run.block_values import block_summaries
from bench.analysis.run.case_data import CaseData, case_data
from bench.analysis.run.case_metrics import case_metrics, gpu_shares
from bench.analysis.run.columns import OUTCOMES, WARMUP, Columns
from bench.analysis.run.evidence import judged
from bench.analysis.run.gaps import Streams
from bench.analysis.run.goodput import requirements_of
from bench.analysis.run.idle_users import reaching_higher
from bench.analysis.run.machine_side import machine_side
from bench.analysis.run.open_loop import OVERLOAD, overload
from bench.analysis.run.sender_clocks import overlaps_known, widened
from bench.analysis.run.slots import Slots, observe_slots
from bench.analysis.run.starved import starvation
from bench.analysis.run.steadiness import case_steadiness
from bench.analysis.run.summary import (
    CaseSummary,
    Identity,
    Metric,
    RequestCounts,
    Steadiness,
    Summary,
    ThresholdResult,
)
from bench.analysis.run.thresholds import judge
from bench.analysis.run.warnings import case_warnings, run_warnings
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.results.records import records_of
from bench.results.run import ModelInfo, RunInfo, RunWarning, TargetInfo
from bench.scenario.plan import Case
from bench.thresholds import Threshold


def summarise(info: RunInfo, records: Iterable[RequestRecord]) -> Summary:
    """Everything that is said of a run, computed from its raw records.

    The order of the records does not matter. Failed requests are in the counts and the error rate
    and in no latency or rate; warm-up and ramp-up requests are in neither.
    """
    ids = [case.id for case in info.plan.cases]
    streams = judged(records_of(records).in_order(), ids)
    thresholds = info.plan.thresholds
    columns = streams.columns
    rows = [np.flatnonzero(columns.case == i) for i in range(len(ids))]
    slots = _slots_by_server(info, map(columns.select, rows))
    found_first = [*info.warnings, *run_warnings(info), *starvation(info, columns)]
    summaries, warnings, results = [], found_first, []
    # One case after the other, and nothing of the one before is kept: all that is known of one may
    # take as much memory as its records.
    for case, mine in zip(info.plan.cases, rows, strict=True):
        summary, warned, judgements = _one_case(
            info,
            _case_data(info, case, columns.select(mine), streams, thresholds),
            slots.get(_server_key(case)),
        )
        summaries.append(summary)
        warnings += warned
        results += judgements
    return _summary(info, summaries, warnings, results)


def _one_case(
    info: RunInfo, one: CaseData, slots: Slots | None
) -> tuple[CaseSummary, list[RunWarning], list[ThresholdResult]]:
    metrics = reaching_higher(widened(case_metrics(one, slots), one), one)
    blocks = block_summaries(one)
    rates = {b.index: v for b in blocks if (v := b.values.get("decode_tok_per_s"))}
    machine = machine_side(info, one, metrics, gpu_shares(one), rates)
    metrics |= machine.metrics
    summary = replace(
        _case_summary(one, metrics, slots),
        blocks=machine.with_values(blocks),
        roofline=machine.roofline,
    )
    warnings = [*case_warnings(info, one, summary, slots), *machine.warnings]
    return summary, warnings, [judge(t, one, metrics) for t in info.plan.thresholds]


def _summary(
    info: RunInfo,
    cases: Sequence[CaseSummary],
    warnings: Sequence[RunWarning],
    thresholds: Sequence[ThresholdResult],
) -> Summary:
    return Summary(
        run_id=info.id,
        name=info.plan.name,
        status=info.status.value,
        simulated=info.simulated,
        valid=not any(w.invalidates for w in warnings),
        scenario=info.plan.scenario,
        cases=tuple(cases),
        warnings=tuple(dict.fromkeys(warnings)),
        thresholds=tuple(thresholds),
        tool_version=info.tool_version,
        created_at=info.created_at,
        schema=info.schema,
    )


def _case_data(
    info: RunInfo,
    case: Case,
    columns: Columns,
    streams: Streams,
    thresholds: Sequence[Threshold],
) -> CaseData:
    target = _target(info, case)
    model = _model(info, case)
    return case_data(
        case,
        target,
        model,
        era_of(target.version, model.format or "gguf"),
        columns,
        streams,
        {b.index: b for b in info.plan.blocks if b.case == case.id},
        {b.index: b for b in info.blocks if b.case == case.id},
        requirements_of(thresholds),
    )


def _target(info: RunInfo, case: Case) -> TargetInfo:
    for target in info.targets:
        if target.name == case.target:
            return target
    return TargetInfo(name=case.target, url="", version="", era="")


def _model(info: RunInfo, case: Case) -> ModelInfo:
    for model in info.models:
        if (model.target, model.name) == (case.target, case.model):
            return model
    return ModelInfo(target=case.target, name=case.model)


def _server_key(case: Case) -> str:
    """Equal for the cases that the same runner on the same server answers."""
    options = json.dumps(case.options, sort_keys=True, default=str)
    return f"{case.target}\n{case.model}\n{options}"


def _slots_by_server(info: RunInfo, parts: Iterable[Columns]) -> dict[str, Slots]:
    """What all cases on one runner together show of its slots: a few users show only a few."""
    found: dict[str, Slots] = {}
    for case, columns in zip(info.plan.cases, parts, strict=True):
        ok = columns.select((columns.phase != WARMUP) & columns.ok)
        seen = observe_slots(ok)
        if seen is None or not overlaps_known((b for b in info.blocks if b.case == case.id), ok):
            continue
        known = found.get(_server_key(case), Slots(0, exact=False))
        found[_server_key(case)] = Slots(
            max(known.observed, seen.observed),
            known.exact or seen.exact,
            known.requests + seen.requests,
        )
    return found


def _case_summary(data: CaseData, metrics: dict[str, Metric], slots: Slots | None) -> CaseSummary:
    case = data.case
    return CaseSummary(
        id=case.id,
        axes=case.axes,
        model=case.model,
        target=case.target,
        endpoint=case.endpoint,
        load={key: value for key, value in asdict(case.load).items() if value is not None},
        options=case.options,
        requests=_counts(data),
        metrics=metrics,
        identity=_identity(data, slots),
        steadiness=Steadiness(None, OVERLOAD) if overload(data) else case_steadiness(data),
        window_s=sum(block.seconds for block in data.throughput.values()),
        simulated=data.target.simulated,
    )


def _counts(data: CaseData) -> RequestCounts:
    codes, counts = np.unique(data.measured.outcome, return_counts=True)
    outcomes = {OUTCOMES[i].value: n for i, n in zip(codes, counts.tolist(), strict=True)}
    reasons = Counter(reason for reason in data.ok.done_reason.tolist() if reason)
    return RequestCounts(
        ok=len(data.ok),
        failed=len(data.judged) - len(data.ok),
        by_outcome=dict(sorted(outcomes.items())),
        by_done_reason=dict(sorted(reasons.items())),
        dropped=sum(info.dropped for info in data.infos.values()),
    )


def _identity(data: CaseData, slots: Slots | None) -> Identity:
    readings = [r for i in data.infos.values() for r in (i.before, i.after) if r is not None]
    contexts = [r.served_context for r in readings if r.served_context is not None]
    digests = [r.digest for r in readings if r.digest]
    shares = gpu_shares(data)
    output = data.ok.output_tokens[~np.isnan(data.ok.output_tokens)]
    return Identity(
        server_version=data.target.version,
        era=data.era.name,
        engine=data.target.engine,
        model=data.case.model,
        digest=data.model.digest or (digests[-1] if digests else ""),
        quantization=data.model.quantization,
        served_context=contexts[-1] if contexts else None,
        gpu_share=min(shares) if shares else None,
        slots_observed=slots.observed if slots is not None and slots.exact else None,
        options=data.case.options,
        prompts_sha256=_workload_hash(data.case),
        mean_output_tokens=float(output.mean()) if len(output) else None,
    )


_LATER = ("made", "replay", "rag", "images", "batch")
_UNUSED = (None, 1)


def _workload_hash(case: Case) -> str:
    """Equal for cases that ask the same: the prompts as specified, not the nonces of one run."""
    # What came with later versions is left out where it is not used: the hash of others stays.
    prompts = {k: v for k, v in asdict(case.prompts).items() if k not in _LATER or v not in _UNUSED}
    asked: list[Any] = [prompts, case.system, case.format, case.think, case.raw, case.endpoint]
    asked += [asdict(case.tools)] if case.tools else []
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
