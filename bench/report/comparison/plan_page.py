"""The page about the plan of a comparison."""

from __future__ import annotations

import math

import msgspec

from bench.analysis.comparison.planning import ComparisonPlan, MetricPlan
from bench.report.comparison.wording import metric_name
from bench.report.page import Answer, Notice, Page, Section
from bench.report.tables import Table, from_columns, text_column
from bench.report.units import NO_VALUE, duration, number, percent, plural
from bench.stats.paired import MIN_PAIRS


def plan_page(plan: ComparisonPlan) -> Page:
    """The page about a plan."""
    content = {**msgspec.to_builtins(plan), "seconds": plan.seconds}
    return Page(
        title="What a comparison takes",
        findings=(Answer("", ((_answer(plan),),)),),
        warnings=tuple(Notice("pilot", note) for note in plan.notes),
        sections=(Section("plan", "Noise and what it takes", (_table(plan),)),),
        brief=(_table(plan),),
        data=msgspec.json.encode(content),
        data_name="plan.json",
    )


def _answer(plan: ComparisonPlan) -> str:
    if plan.pairs is None or plan.seconds is None:
        return (
            "Repetition alone will not show every wanted change: at least one metric is too noisy "
            "or was not measured. Ask for a larger change with --catch, or use longer blocks."
        )
    known = all(m.pair_sd is not None for m in plan.metrics)
    what = "every wanted change" if known else "the wanted changes that could be planned for"
    return (
        f"{plan.pairs} pairs show {what} with 80 % power: about "
        f"{duration(plan.seconds)}, {duration(plan.pair_s)} a pair. Fix that number beforehand: "
        f"ollama-bench ab SCENARIO --pairs {plan.pairs}"
    )


def _table(plan: ComparisonPlan) -> Table:
    rows = plan.metrics
    cases = [m.case for m in rows]
    pilots = [plural(m.blocks, "pair" if m.in_pairs else "block") if m.blocks else "" for m in rows]
    requests = (m.requests_per_block for m in rows)
    columns = [text_column("Metric", [metric_name(m.metric) for m in rows])]
    if len(set(cases)) > 1:
        columns.append(text_column("Case", cases))
    columns += [
        text_column("Pairs", [m.pairs or NO_VALUE for m in rows]),
        text_column("To see", [percent(m.catch) for m in rows]),
        text_column(f"{MIN_PAIRS} pairs show", [_percent(m.detectable) for m in rows]),
        text_column("Noise of a pair", [_percent(m.pair_sd) for m in rows]),
        text_column("95 % sure", [_range(m) for m in rows], "what that noise may really be"),
        text_column("Pilot", pilots),
        text_column("Requests a block", [number(n, 0) if n else "" for n in requests]),
        text_column("Note", [m.note for m in rows]),
    ]
    note = (
        "Noise of a pair is the standard deviation of the change that a pair of blocks shows when "
        "nothing has changed; both blocks have the same prompts. Power 80 % on average over what "
        "that noise may be, two-sided 5 %, shared among all metrics that gate."
    )
    return from_columns("plan", "Noise and what it takes", columns, note=note)


def _range(m: MetricPlan) -> str:
    known = m.pair_sd_low is not None and m.pair_sd_high is not None
    return f"{_percent(m.pair_sd_low)} to {_percent(m.pair_sd_high)}" if known else ""


def _percent(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    shown = value * 100
    return f"{number(shown, 0 if shown >= 10 else 1 if shown >= 1 else 2)}\u202f%"
