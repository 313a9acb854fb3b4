"""The page about one or several runs: what is told, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.analysis.summary import Summary
from bench.analysis.summary_json import to_json
from bench.report.failure_tables import error_table, outcome_table
from bench.report.findings import findings
from bench.report.identity_tables import (
    block_record_table,
    environment_table,
    identity_table,
    model_table,
    options_table,
    server_table,
)
from bench.report.model import SEPARATOR, Report, build_report
from bench.report.page import (
    Badge,
    Chart,
    Definitions,
    Item,
    Listing,
    Notice,
    Page,
    Prose,
    Section,
    Tone,
)
from bench.report.result_tables import block_table, comparison_table, metric_table, shown_metrics
from bench.report.sentences import answer
from bench.report.tables import Table
from bench.report.threshold_table import threshold_table
from bench.report.units import count, duration, plural
from bench.results.directory import Run
from bench.results.record import Phase
from bench.results.run import RunStatus

INTERVALS = (
    "All intervals are 95 % intervals. Percentiles are type-7 quantiles of the raw values with "
    "order-statistic intervals, or with Woodruff's intervals over blocks where a case has several; "
    "a percentile whose interval has an open end is not shown as a number. Rates of a case are "
    "ratios of sums. Failed requests have no latency: they are counted, and nowhere else."
)


def run_page(runs: Sequence[Run], summaries: Sequence[Summary]) -> Page:
    """The page about some runs.

    Args:
        runs: with info and records.
        summaries: of the same runs, in the same order.
    """
    report = build_report(runs, summaries)
    results = _tables(comparison_table(report), threshold_table(report), error_table(report))
    first = runs[0].info
    return Page(
        title=_title(report),
        subtitle=first.plan.description if len(runs) == 1 else "",
        badges=_badges(report),
        facts=_facts(report),
        findings=findings(report),
        answers=tuple(answer(c) for c in report.cases),
        warnings=_notices(report),
        sections=_sections(report, results),
        brief=results,
        provenance=_tables(identity_table(report), options_table(report), *_machines(report)),
        models=report.models,
        simulated=report.simulated,
        data=summary_json(summaries),
        data_name=f"{first.id}-summary.json" if len(runs) == 1 else "summaries.json",
        tool_version=first.tool_version,
    )


def summary_json(summaries: Sequence[Summary]) -> bytes:
    """The content of summary.json; of several runs, a list of them."""
    contents = [to_json(s) for s in summaries]
    return msgspec.json.encode(contents[0] if len(contents) == 1 else contents)


def _title(report: Report) -> str:
    return " + ".join(dict.fromkeys(v.summary.name for v in report.runs)) or "run"


def _badges(report: Report) -> tuple[Badge, ...]:
    badges = []
    if report.simulated:
        badges.append(
            Badge("simulated", "caution", "The simulated engine made these numbers up by a model.")
        )
    for view in report.runs:
        if view.run.incomplete:
            status = view.run.info.status
            word = "incomplete" if status is RunStatus.RUNNING else f"incomplete: {status}"
            badges.append(Badge(_named(view.label, word), "caution", "The plan was not finished."))
        if not view.summary.valid:
            badges.append(Badge(_named(view.label, "invalid"), "bad", "Do not trust the numbers."))
    thresholds = [t for v in report.runs for t in v.summary.thresholds]
    if thresholds:
        met = sum(t.passed for t in thresholds)
        tone: Tone = "good" if met == len(thresholds) else "bad"
        badges.append(Badge(f"{met} of {plural(len(thresholds), 'threshold')} met", tone))
    return tuple(dict.fromkeys(badges))


def _named(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text


def _facts(report: Report) -> tuple[tuple[str, str], ...]:
    counts = [c.summary.requests for c in report.cases]
    measured = sum(r.ok + r.failed for r in counts)
    blocks = sum(len(_measured_blocks(v.run)) for v in report.runs)
    infos = [v.run.info for v in report.runs]
    span = sum(b.end_ns - b.start_ns for i in infos for b in i.blocks) / 1e9
    servers = dict.fromkeys(f"{t.engine} {t.version}".strip() for i in infos for t in i.targets)
    machines = dict.fromkeys(_machine(i.environment) for i in infos)
    facts = [
        ("Measured", f"{plural(measured, 'request')} in {plural(blocks, 'block')}"),
        ("Models", count(len(report.models))),
        ("Server", ", ".join(servers)),
        ("Client", ", ".join(m for m in machines if m)),
        ("Time measured", duration(span) if span else ""),
        ("Started", ", ".join(dict.fromkeys(_minute(i.created_at) for i in infos))),
    ]
    return tuple((k, v) for k, v in facts if v)


def _measured_blocks(run: Run) -> set[int]:
    """The blocks of which there is at least one measured request."""
    return {r.block for r in run.records if r.phase is Phase.MEASURE}


def _minute(stamp: str) -> str:
    """A time stamp to the minute: "2026-01-01 10:15 UTC"."""
    zone = " UTC" if stamp.endswith(("Z", "+00:00")) else ""
    return f"{stamp[:16].replace('T', ' ')}{zone}"


def _machine(environment: dict[str, object]) -> str:
    gpus = environment.get("gpus")
    if isinstance(gpus, list | tuple) and gpus and isinstance(gpus[0], dict):
        return ", ".join(str(g.get("name", "")) for g in gpus if isinstance(g, dict))
    cpu = environment.get("cpu")
    return str(cpu.get("model") or "") if isinstance(cpu, dict) else ""


def _notices(report: Report) -> tuple[Notice, ...]:
    """All warnings by kind, invalidating ones first; the same of several cases is said once."""
    kinds: dict[tuple[bool, str, str], dict[str, list[tuple[int, str]]]] = {}
    for index, view in enumerate(report.runs):
        for w in view.summary.warnings:
            kind = kinds.setdefault((not w.invalidates, w.code, w.advice), {})
            kind.setdefault(_sentence_case(w.message, report.models), []).append((index, w.case))
    ordered = sorted(kinds.items(), key=lambda kind: kind[0][0])
    return tuple(
        _notice(
            code, advice, not harmless, [(m, _places(report, at)) for m, at in messages.items()]
        )
        for (harmless, code, advice), messages in ordered
    )


Said = tuple[str, tuple[str, ...]]
"""A message and its places."""


def _notice(code: str, advice: str, invalidates: bool, said: Sequence[Said]) -> Notice:
    (first, where), *more = said
    return Notice(code, first, advice, where, invalidates, tuple(more))


def _places(report: Report, at: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """Where a warning holds: runs, then cases by model, in the order of the report."""
    labels = dict.fromkeys(report.runs[i].label for i, case in at if not case)
    cases = [c for c in report.cases if (c.run, c.summary.id) in at]
    if len(cases) == len(report.cases) > 1:
        return (f"all {plural(len(cases), 'case')}",)
    told = []
    for model in dict.fromkeys(c.model for c in cases):
        axes = [SEPARATOR.join(c.axes) for c in cases if c.model == model and c.axes]
        told.append(SEPARATOR.join((model, ", ".join(axes))) if axes else model)
    known = {(c.run, c.summary.id) for c in cases}
    unknown = [case for run, case in at if case and (run, case) not in known]
    return (*(x for x in labels if x), *told, *unknown)


def _sentence_case(text: str, names: Sequence[str]) -> str:
    """A capital at the beginning, unless the first word is a name: a model's, a metric's."""
    word = text.partition(" ")[0].rstrip(",:;.")
    return text[:1].upper() + text[1:] if word.isalpha() and word not in names else text


def _sections(report: Report, results: tuple[Table, ...]) -> tuple[Section, ...]:
    from bench.report.charts import run_charts

    sections = [
        Section("comparison", "Comparison", results),
        Section("evidence", "Evidence", tuple(run_charts(report))),
        Section("method", "How it was measured", _method(report)),
        Section("data", "All numbers", _data(report)),
    ]
    return tuple(s for s in sections if s.items)


def _machines(report: Report) -> list[Table]:
    return [environment_table(view, number) for number, view in enumerate(report.runs)]


def _method(report: Report) -> tuple[Item, ...]:
    items: list[Item] = [identity_table(report), options_table(report)]
    for number, view in enumerate(report.runs):
        items += [server_table(view, number), model_table(view, number)]
        items.append(environment_table(view, number))
    items += _present(block_record_table(report))
    items.append(Prose(INTERVALS))
    items.append(Definitions(shown_metrics(report)))
    items += [
        Listing(
            f"Resolved scenario{f', {v.label}' if v.label else ''}",
            msgspec.json.format(msgspec.json.encode(v.run.info.plan.scenario), indent=2).decode(),
        )
        for v in report.runs
    ]
    return tuple(items)


def _data(report: Report) -> tuple[Item, ...]:
    metrics = [metric_table(report, m) for m in shown_metrics(report)]
    return _present(*metrics, outcome_table(report), block_table(report))


def _present(*items: Table | Chart | None) -> tuple[Item, ...]:
    return tuple(i for i in items if i is not None and not (isinstance(i, Table) and not i.rows))


def _tables(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(t for t in tables if t is not None and t.rows)
