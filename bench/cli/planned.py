"""What will be run, in words."""

from __future__ import annotations

from bench.scenario.estimate import Range, duration_text, estimate
from bench.scenario.plan import Plan
from bench.scenario.understood import notes_text

_CASES_SHOWN = 20


def plan_text(plan: Plan, cases: bool = True) -> str:
    """What will be run: cases, blocks, requests, and an honest estimate of the time."""
    cost = estimate(plan)
    measured = range_text(cost.requests)
    names = [c.id for c in plan.cases] if cases else []
    shown = [f"  {name}" for name in names[:_CASES_SHOWN]]
    if len(names) > _CASES_SHOWN:
        shown.append(f"  ... and {len(names) - _CASES_SHOWN} more")
    where = ", ".join(t.url or t.name for t in plan.targets)
    judged = []
    if plan.thresholds:
        from bench.analysis.run.thresholds import threshold_lines

        judged = threshold_lines(plan)
    lines = [
        f"{plan.name}: {plan.description}" if plan.description else plan.name,
        f"{_many(cost.cases, 'case')}, {_many(cost.blocks, 'block')}, {measured} requests "
        f"(and {cost.unmeasured:,} or more to warm up) on {where}",
        *shown,
        *([notes_text(plan)] if plan.notes else []),
        *judged,
        f"Time: {duration_text(cost.seconds)}, depending on the speed of the server.",
    ]
    return "\n".join(lines)


def _many(count: int, thing: str) -> str:
    """As `bench.report.units.plural`, whose room is not loaded before the first request."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def range_text(counts: Range) -> str:
    """A count that is known, or known within limits: "40", "40 to 80"."""
    low, high = round(counts.low), round(counts.high)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
