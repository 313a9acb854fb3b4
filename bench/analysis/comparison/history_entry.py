"""What the history keeps of a run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.analysis.comparison.causes import hardware_of
from bench.analysis.comparison.server_place import place_of
from bench.analysis.comparison.setup_checks import level_of
from bench.analysis.comparison.setup_difference import CaseSide
from bench.analysis.run.summary import Metric, Summary
from bench.results.history import IndexedCase, IndexedRun, Value
from bench.results.run import RunInfo


def history_entry(path: Path, info: RunInfo, summary: Summary) -> IndexedRun:
    """The index entry of a finished run."""
    return IndexedRun(
        id=info.id,
        path=path,
        name=summary.name,
        created_at=info.created_at,
        status=info.status.value,
        valid=summary.valid,
        simulated=summary.simulated,
        tool_version=info.tool_version,
        tags=info.tags,
        cases=tuple(
            IndexedCase(
                case_id=case.id,
                identity=identity_key(CaseSide(info, case)),
                server_version=case.identity.server_version,
                model=case.model,
                values=_values(case.metrics),
            )
            for case in summary.cases
        ),
    )


def identity_key(side: CaseSide) -> str:
    """Equal for results that differ in the server's version and in time only.

    The observed number of slots is left out: a run with few users cannot observe it.
    """
    identity, case = side.summary.identity, side.case
    share = identity.gpu_share
    parts: dict[str, Any] = {
        "engine": identity.engine,
        "simulated": side.summary.simulated,
        "model": case.model,
        "digest": identity.digest,
        "served_context": identity.served_context,
        "gpu_share": None if share is None else round(share, 2),
        "options": case.options,
        "asked": identity.prompts_sha256,
        "stream": case.stream,
        "cold": case.cold,
        "load": {k: v for k, v in level_of(case.load).items() if v is not None},
        "settings": dict(side.target.settings) if side.target else {},
        "hardware": hardware_of(side.info.environment),
    }
    # What came later is in it only where it is used: earlier entries keep their identity.
    later = {"server": place_of(side), "control": case.control, "truncate": case.truncate}
    parts |= {key: value for key, value in later.items() if value}
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _values(metrics: dict[str, Metric]) -> dict[str, Value]:
    values = {}
    for metric in metrics.values():
        for statistic, estimate in metric.stats.items():
            if estimate.value is not None:
                name = metric.id if statistic == "value" else f"{metric.id}.{statistic}"
                values[name] = Value(estimate.value, estimate.low, estimate.high)
    return values


def _plain(value: object) -> Any:
    """Plan objects in an identity (arrivals, distributions) as their fields."""
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)  # type: ignore[call-overload]
    return str(value)
