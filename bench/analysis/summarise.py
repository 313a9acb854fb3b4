"""From the records of a run to its summary: a pure function."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from operator import attrgetter

import numpy as np

from bench.analysis.block_values import block_summaries
from bench.analysis.case_data import CaseData, case_data
from bench.analysis.case_metrics import case_metrics, gpu_shares
from bench.analysis.columns import OUTCOMES, WARMUP, Columns, Gaps, columns_of, gaps_between_chunks
from bench.analysis.goodput import requirements_of
from bench.analysis.slots import Slots, observe_slots
from bench.analysis.steadiness import case_steadiness
from bench.analysis.summary import (
    CaseSummary,
    Identity,
    Metric,
    RequestCounts,
    Summary,
    ThresholdResult,
)
from bench.analysis.thresholds import judge
from bench.analysis.warnings import case_warnings, run_warnings
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.results.run import ModelInfo, RunInfo, RunWarning, TargetInfo
from bench.scenario.plan import Case
from bench.scenario.thresholds import Threshold, parse_threshold


def summarise(info: RunInfo, records: Iterable[RequestRecord]) -> Summary:
    """Everything that is said of a run, computed from its raw records.

    The order of the records does not matter. Failed requests are in the counts and the error rate
    and in no latency or rate; warm-up and ramp-up requests are in neither.

    Args:
        info: the content of run.json; of a run in progress, too.
        records: the lines of requests.jsonl.
    """
    ordered = sorted(records, key=attrgetter("block", "phase", "index", "worker"))
    ids = [case.id for case in info.plan.cases]
    columns = columns_of(ordered, ids)
    gaps = gaps_between_chunks(ordered, columns, lambda c: c.measured & c.ok & c.stream)
    thresholds = tuple(parse_threshold(text) for text in info.plan.thresholds)
    data = [
        _case_data(info, case, columns.select(columns.case == i), gaps, thresholds)
        for i, case in enumerate(info.plan.cases)
    ]
    slots = _slots_by_server(data)
    summaries, warnings, results = [], [*info.warnings, *run_warnings(info)], []
    for one in data:
        found = slots.get(_server_key(one))
        metrics = case_metrics(one, found)
        summary = _case_summary(one, metrics, found)
        summaries.append(summary)
        warnings += case_warnings(info, one, summary, found)
        results += [judge(t, one, metrics) for t in thresholds]
    return _summary(info, summaries, warnings, results)


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
    gaps: Gaps,
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
        gaps,
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


def _server_key(data: CaseData) -> str:
    """Equal for the cases that the same runner on the same server answers."""
    options = json.dumps(data.case.options, sort_keys=True, default=str)
    return f"{data.case.target}\n{data.case.model}\n{options}"


def _slots_by_server(data: Iterable[CaseData]) -> dict[str, Slots]:
    """What all cases on one runner together show of its slots: a few users show only a few."""
    found: dict[str, Slots] = {}
    for one in data:
        sent = one.columns.phase != WARMUP
        seen = observe_slots(one.columns.select(sent & one.columns.ok))
        if seen is None:
            continue
        known = found.get(_server_key(one), Slots(0, exact=False))
        found[_server_key(one)] = Slots(
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
        blocks=block_summaries(data),
        steadiness=case_steadiness(data),
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


def _workload_hash(case: Case) -> str:
    """Equal for cases that ask the same: the prompts as specified, not the nonces of one run."""
    asked = [asdict(case.prompts), case.system, case.format, case.think, case.raw, case.endpoint]
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
