"""From the records of a run to its summary: a pure function."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench.analysis.run.case_data import CaseData, case_data
from bench.analysis.run.case_metrics import block_summaries, case_metrics
from bench.analysis.run.client_checks import reaching_higher
from bench.analysis.run.columns import OUTCOMES, WARMUP, Columns
from bench.analysis.run.evidence import judged
from bench.analysis.run.machine import case_energy, energy_metrics, energy_values
from bench.analysis.run.machine_checks import cost_warnings, machine_warnings
from bench.analysis.run.neighbours import starvation
from bench.analysis.run.open_loop import OVERLOAD, overload
from bench.analysis.run.roofline import roofline, share_metric, share_values
from bench.analysis.run.sender_clocks import overlaps_known, widened
from bench.analysis.run.slots import Slots, observe_slots
from bench.analysis.run.steadiness import case_steadiness
from bench.analysis.run.summary import (
    CaseSummary,
    Identity,
    Metric,
    RequestCounts,
    Roofline,
    Steadiness,
    Summary,
    ThresholdResult,
)
from bench.analysis.run.thresholds import judge
from bench.analysis.run.warnings import case_warnings, run_warnings
from bench.results.record import RequestRecord
from bench.results.records import records_of
from bench.results.run import RunInfo, RunWarning
from bench.scenario.plan import Case
from bench.scenario.prices import parse_prices


def summarise(info: RunInfo, records: Iterable[RequestRecord]) -> Summary:
    """Everything that is said of a run, computed from its raw records.

    The order of the records does not matter. Failed requests are in the counts and the error rate
    and in no latency or rate; warm-up and ramp-up requests are in neither.
    """
    ids = [case.id for case in info.plan.cases]
    streams = judged(records_of(records).in_order(), ids)
    columns = streams.columns
    rows = [np.flatnonzero(columns.case == i) for i in range(len(ids))]
    slots = _slots_by_server(info, map(columns.select, rows))
    warnings = [*info.warnings, *run_warnings(info), *starvation(info, columns)]
    summaries, results = [], []
    # One case after the other, and nothing of the one before is kept: all that is known of one may
    # take as much memory as its records.
    for case, mine in zip(info.plan.cases, rows, strict=True):
        one = case_data(info, case, columns.select(mine), streams)
        summary, warned, judgements = _one_case(info, one, slots.get(_server_key(case)))
        summaries.append(summary)
        warnings += warned
        results += judgements
    return Summary(
        run_id=info.id,
        name=info.plan.name,
        status=info.status.value,
        simulated=info.simulated,
        valid=not any(w.invalidates for w in warnings),
        scenario=info.plan.scenario,
        cases=tuple(summaries),
        warnings=tuple(dict.fromkeys(warnings)),
        thresholds=tuple(results),
        tool_version=info.tool_version,
        created_at=info.created_at,
        schema=info.schema,
    )


def _one_case(
    info: RunInfo, one: CaseData, slots: Slots | None
) -> tuple[CaseSummary, list[RunWarning], list[ThresholdResult]]:
    metrics = reaching_higher(widened(case_metrics(one, slots), one), one)
    blocks = block_summaries(one)
    # What the server's machine did meanwhile: energy, cost, and the share of its bandwidth.
    energy = case_energy(info, one, one.gpu_shares)
    roof = roofline(info, one, one.gpu_shares, metrics)
    given = info.plan.scenario.get("price")
    prices = parse_prices(map(str, given) if isinstance(given, list | tuple) else ())
    metrics |= energy_metrics(one, energy, prices)
    metrics |= {"mem_bw_share": share_metric(roof, metrics["decode_tok_per_s"].stats.get("value"))}
    rates = {b.index: v for b in blocks if (v := b.values.get("decode_tok_per_s"))}
    beside = energy_values(one, energy)
    for index, share in share_values(roof, rates).items():
        beside.setdefault(index, {})["mem_bw_share"] = share
    summary = replace(
        _case_summary(one, metrics, slots),
        blocks=tuple(replace(b, values=b.values | beside.get(b.index, {})) for b in blocks),
        roofline=roof if isinstance(roof, Roofline) else None,
    )
    warnings = [*case_warnings(info, one, summary, slots), *machine_warnings(one, energy, roof)]
    if prices:
        warnings += cost_warnings(one, metrics["cost_per_mtok"])
    warnings = [replace(w, case=one.case.id) for w in warnings]
    return summary, warnings, [judge(t, one, metrics) for t in info.plan.thresholds]


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
        dropped=data.dropped,
    )


def _identity(data: CaseData, slots: Slots | None) -> Identity:
    contexts = [r.served_context for r in data.readings if r.served_context is not None]
    digests = [r.digest for r in data.readings if r.digest]
    output = data.ok.output_tokens[~np.isnan(data.ok.output_tokens)]
    return Identity(
        server_version=data.target.version,
        era=data.era.name,
        engine=data.target.engine,
        model=data.case.model,
        digest=data.model.digest or (digests[-1] if digests else ""),
        quantization=data.model.quantization,
        served_context=contexts[-1] if contexts else None,
        gpu_share=min(data.gpu_shares, default=None),
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
