"""A plan of a comparison, told."""

from __future__ import annotations

import math

import msgspec

from bench.analysis.paired import MIN_PAIRS
from bench.analysis.planning import ComparisonPlan, MetricPlan
from bench.report.comparison.wording import metric_name
from bench.report.console import console_text
from bench.report.markdown import markdown
from bench.report.page import Answer, Page
from bench.report.tables import Table, from_columns, text_column
from bench.report.units import NO_VALUE, duration, number, percent


def render_plan(plan: ComparisonPlan, format_name: str) -> str:
    """The plan as text.

    Args:
        plan: what to tell.
        format_name: console, markdown or json.
    """
    if format_name == "json":
        content = {**msgspec.to_builtins(plan), "seconds": plan.seconds}
        return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
    page = _page(plan)
    return markdown(page) if format_name == "markdown" else console_text(page)


def _page(plan: ComparisonPlan) -> Page:
    return Page(
        title="What a comparison takes",
        subtitle="",
        badges=(),
        facts=(),
        findings=(Answer("", ((_answer(plan),),)),),
        answers=(),
        warnings=(),
        sections=(),
        brief=(_table(plan),),
    )


def _answer(plan: ComparisonPlan) -> str:
    if plan.pairs is None or plan.seconds is None:
        return (
            "Repetition alone will not show every wanted change: at least one metric is too noisy "
            "or was not measured. Ask for a larger change with --catch, or use longer blocks."
        )
    return (
        f"{plan.pairs} pairs show every wanted change with 80 % power: about "
        f"{duration(plan.seconds)}, {duration(plan.pair_s)} a pair. Fix that number beforehand: "
        f"ollama-bench ab SCENARIO --pairs {plan.pairs}"
    )


def _table(plan: ComparisonPlan) -> Table:
    rows = plan.metrics
    cases = [m.case for m in rows]
    columns = [text_column("Metric", [metric_name(m.metric) for m in rows])]
    if len(set(cases)) > 1:
        columns.append(text_column("Case", cases))
    columns += [
        text_column("Pairs", [m.pairs or NO_VALUE for m in rows]),
        text_column("To see", [percent(m.catch) for m in rows]),
        text_column(f"{MIN_PAIRS} pairs show", [_percent(m.detectable) for m in rows]),
        text_column("Between blocks", [_percent(m.between_blocks) for m in rows]),
        text_column("Within a block", [_percent(m.within_block) for m in rows]),
        text_column("Blocks", [m.blocks or None for m in rows]),
        text_column("Requests a block", [_requests(m) for m in rows]),
        text_column("Note", [m.note for m in rows]),
    ]
    return from_columns(
        "plan",
        "Noise and what it takes",
        columns,
        note="Noise is the standard deviation, as a share of the value. Power 80 %, two-sided 5 %, "
        "shared among all metrics that gate.",
    )


def _requests(m: MetricPlan) -> str:
    return number(m.requests_per_block, 0) if m.requests_per_block else ""


def _percent(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    shown = value * 100
    return f"{number(shown, 0 if shown >= 10 else 1 if shown >= 1 else 2)}\u202f%"
