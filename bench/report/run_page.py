"""The page about one or several runs: its sections and their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bench.analysis.run.evidence import columns_of
from bench.analysis.run.summary import Summary, ThresholdVerdict
from bench.analysis.run.summary_json import to_json
from bench.report.csv import csv_text
from bench.report.drill_down import request_data
from bench.report.failure_tables import error_table, outcome_table
from bench.report.findings import findings
from bench.report.formats import late
from bench.report.identity_tables import (
    block_record_table,
    environment_table,
    identity_table,
    model_table,
    options_table,
    server_table,
)
from bench.report.machine import machine_facts, machine_table, watched_table
from bench.report.model import Report, build_report
from bench.report.notices import notices
from bench.report.page import SIMULATED, Badge, Definitions, Item, Listing, Page, Section, Tone
from bench.report.quick_import import import_matplotlib
from bench.report.request_rows import request_csv
from bench.report.result_tables import (
    absent_table,
    block_table,
    comparison_table,
    metric_table,
    shown_metrics,
)
from bench.report.sender_tables import sender_table
from bench.report.sentences import answer
from bench.report.session_words import neighbour_table
from bench.report.tables import present
from bench.report.threshold_table import threshold_details, threshold_table
from bench.report.units import count, duration, minute, plural
from bench.results.directory import Run
from bench.results.run import RunStatus
from bench.shown import all_shown

if TYPE_CHECKING:
    from bench.analysis.fidelity.result import FidelityResult
    from bench.report.fidelity.page import Parts

INTERVALS = (
    "All intervals are 95 % intervals. Blocks are what is repeated: Student's t over the values of "
    "the blocks, on the log scale; of one block, over batches of its requests, which say nothing "
    "of other blocks. Percentiles are type-7 quantiles of the raw values, never given without an "
    "interval; that of a tail is widened for few blocks and for blocks too short to have it. "
    "Where neighbours are alike (other than turns of a session), p95 and p99 need more requests. "
    "Shares have Jeffreys' interval for the requests that blocks are worth, or "
    "Student's t of logits where that is wider. Until two blocks saw each outcome there is none: "
    "\u201cif independent\u201d says what it would be if requests did not fail in clumps. Rates of "
    "a case are ratios of sums; in a closed loop their intervals reach higher by what its users "
    "idled between an answer and their next request, if that is over 1 %. Failed requests have no "
    "latency: they are counted, and nowhere else."
)


def run_page(
    runs: Sequence[Run],
    summaries: Sequence[Summary],
    fidelity: Sequence[FidelityResult | str | None] = (),
) -> Page:
    """The page about some runs; of each its summary and its fidelity, or why that is not known."""
    report = build_report(runs, summaries)
    close = _fidelity(report, fidelity)
    results = present(
        comparison_table(report),
        neighbour_table(report),
        threshold_table(report),
        error_table(report),
    )
    first = runs[0].info
    machines = [environment_table(view, number) for number, view in enumerate(report.runs)]
    return Page(
        title=" + ".join(dict.fromkeys(s.name for s in summaries)) or "run",
        subtitle=first.plan.description if len(runs) == 1 else "",
        badges=_badges(report),
        facts=_facts(report),
        findings=(*findings(report), *(a for f in close for a in f.findings)),
        answers=tuple(answer(c) for c in report.cases),
        warnings=notices(report),
        sections=_sections(report, close),
        verdict=results,
        brief=(*results, *(t for f in close for t in f.brief)),
        provenance=present(identity_table(report), options_table(report), *machines),
        models=report.models,
        simulated=report.simulated,
        requests=request_data(report) if any(len(v.run.records) for v in report.runs) else b"",
        data=summary_json(summaries),
        data_name=f"{first.id}-summary.json" if len(runs) == 1 else "summaries.json",
        tool_version=first.tool_version,
        forms=_forms(runs, summaries),
    )


def _fidelity(report: Report, found: Sequence[FidelityResult | str | None]) -> tuple[Parts, ...]:
    if all(result is None for result in found):
        return ()
    from bench.report.fidelity.page import fidelity_in_run  # late: most runs need none of it

    return fidelity_in_run(report, found)


def _forms(runs: Sequence[Run], summaries: Sequence[Summary]) -> Mapping[str, Callable[[], str]]:
    """What is made, and imported, when it is asked for."""
    return {
        "csv": lambda: csv_text(summaries),
        "requests-csv": lambda: request_csv(runs),
        "junit": lambda: late("ci_formats", "run_junit")(list(map(all_shown, summaries))),
        "github": lambda: late("ci_formats", "run_annotations")(list(map(all_shown, summaries))),
        "benchstat": lambda: late("ci_formats", "benchstat")(
            [c for s in summaries for c in s.cases]
        ),
    }


def summary_json(summaries: Sequence[Summary]) -> bytes:
    """The content of summary.json; of several runs, a list of them."""
    contents = [to_json(s) for s in summaries]
    return msgspec.json.encode(contents[0] if len(contents) == 1 else contents)


def _badges(report: Report) -> tuple[Badge, ...]:
    badges = []
    if failed := sum(c.summary.requests.failed for c in report.cases):
        badges.append(Badge(f"{plural(failed, 'request')} failed", "bad"))
    if report.simulated:
        badges.append(SIMULATED)
    for view in report.runs:
        named = f"{view.label}: " if view.label else ""
        if view.run.incomplete:
            status = view.run.info.status
            word = "incomplete" if status is RunStatus.RUNNING else f"incomplete: {status}"
            badges.append(Badge(f"{named}{word}", "caution", "The plan was not finished."))
        if not view.summary.valid:
            badges.append(Badge(f"{named}invalid", "bad", "Do not trust the numbers."))
    thresholds = [t for v in report.runs for t in v.summary.thresholds]
    if thresholds:
        met = sum(t.passed for t in thresholds)
        broken = any(t.verdict is ThresholdVerdict.NOT_MET for t in thresholds)
        tone: Tone = "bad" if broken else "good" if met == len(thresholds) else "caution"
        badges.append(Badge(f"{met} of {plural(len(thresholds), 'threshold')} met", tone))
    return tuple(dict.fromkeys(badges))


def _facts(report: Report) -> tuple[tuple[str, str], ...]:
    counts = [c.summary.requests for c in report.cases]
    measured = sum(r.ok + r.failed for r in counts)
    blocks = sum(len(_measured_blocks(v.run)) for v in report.runs)
    infos = [v.run.info for v in report.runs]
    span = sum(b.end_ns - b.start_ns for i in infos for b in i.blocks) / 1e9
    servers = dict.fromkeys(f"{t.engine} {t.version}".strip() for i in infos for t in i.targets)
    facts = [
        ("Measured", f"{plural(measured, 'request')} in {plural(blocks, 'block')}"),
        ("Models", count(len(report.models))),
        ("Server", ", ".join(servers)),
        *machine_facts(infos),
        ("Time measured", duration(span) if span else ""),
        ("Started", ", ".join(dict.fromkeys(_minute(i.created_at) for i in infos))),
    ]
    return tuple((k, v) for k, v in facts if v)


def _measured_blocks(run: Run) -> set[int]:
    """The blocks of which there is at least one measured request."""
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    return set(np.unique(columns.block[columns.measured]).tolist())


def _minute(stamp: str) -> str:
    """A time stamp to the minute: "2026-01-01 10:15 UTC"."""
    return minute(stamp) + (" UTC" if stamp.endswith(("Z", "+00:00")) else "")


def _sections(report: Report, close: Sequence[Parts]) -> tuple[Section, ...]:
    import_matplotlib()
    from bench.report.charts import run_charts

    fidelity: list[Item] = []
    for found in (f for f in close if f.tables):
        fidelity += [*found.charts(), *found.brief, *found.tables, *present(found.gates)]
        fidelity.append(found.method)
    data = present(
        *(metric_table(report, m) for m in shown_metrics(report)),
        absent_table(report),
        threshold_details(report),
        outcome_table(report),
        block_table(report),
    )
    what = "every metric with its intervals, every block, how requests ended"
    sections = [
        Section("fidelity", "Fidelity", tuple(fidelity)),
        Section("evidence", "Evidence", tuple(run_charts(report))),
        Section("method", "How it was measured", _method(report)),
        Section("data", "All numbers", data, fold=f"{plural(len(data), 'table')}: {what}"),
    ]
    return tuple(s for s in sections if s.items)


def _method(report: Report) -> tuple[Item, ...]:
    tables = [identity_table(report), options_table(report)]
    for number, view in enumerate(report.runs):
        tables += [server_table(view, number), model_table(view, number)]
        tables += [environment_table(view, number), *present(watched_table(view, number))]
    tables += present(machine_table(report), sender_table(report), block_record_table(report))
    scenarios = (
        Listing(
            f"Resolved scenario{f', {v.label}' if v.label else ''}",
            msgspec.json.format(msgspec.json.encode(v.run.info.plan.scenario), indent=2).decode(),
        )
        for v in report.runs
    )
    glossary = Definitions(shown_metrics(report))
    folded = (replace(table, folded=True) for table in tables)
    return (*folded, Listing("How intervals are made", INTERVALS), glossary, *scenarios)
