"""Hand-made cases for the rules that turn numbers into sentences."""

from __future__ import annotations

from typing import Any

from bench.analysis.run.summary import (
    CaseSummary,
    Estimate,
    Identity,
    Metric,
    RequestCounts,
    Steadiness,
)
from bench.report.model import CaseView

OK = RequestCounts(ok=40, failed=0, by_outcome={"ok": 40})


def metric(metric_id: str, unit: str, n: int = 40, **stats: Estimate) -> Metric:
    """A metric with its statistics."""
    return Metric(metric_id, unit, n, dict(stats))


def speed(value: float | None, half: float = 0.5) -> Metric:
    """A decode speed with a symmetric interval."""
    estimate = Estimate(value) if value is None else Estimate(value, value - half, value + half)
    return metric("decode_tok_per_s", "tok/s", value=estimate)


def throughput(value: float, half: float = 1.0) -> Metric:
    """A throughput with a symmetric interval."""
    return metric("output_tok_per_s", "tok/s", value=Estimate(value, value - half, value + half))


def time(metric_id: str, p50: float, half: float = 0.005, **more: Estimate) -> Metric:
    """A latency with its median."""
    return metric(metric_id, "s", p50=Estimate(p50, p50 - half, p50 + half), **more)


def case(
    *metrics: Metric,
    model: str = "llama3.2:3b",
    users: int | None = 1,
    requests: RequestCounts = OK,
    identity: Identity | None = None,
    steadiness: Steadiness | None = None,
    slots_asked: int | None = None,
    axes: dict[str, str] | None = None,
    load: dict[str, Any] | None = None,
    series: int = 0,
) -> CaseView:
    """A case view as `build_report` would make it."""
    all_axes = {"model": model, "target": "local", **(axes or {})}
    if users is not None:
        all_axes["users"] = str(users)
    summary = CaseSummary(
        id=f"{model}, users={users}",
        axes=all_axes,
        model=model,
        target="local",
        endpoint="chat",
        load=load or {"loop": "closed", "users": users},
        options={},
        requests=requests,
        metrics={m.id: m for m in metrics},
        identity=identity or Identity(),
        steadiness=steadiness or Steadiness(None),
    )
    told = f"{users} users"
    return CaseView(
        run=0,
        key=summary.id,
        label=f"{model} · {told}",
        subject=f"{model} with {told}",
        who=model,
        axes=(told,),
        series=series,
        summary=summary,
        slots_asked=slots_asked,
    )
