"""The page about one or several comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from bench.analysis.comparison.result import SCHEMA, Comparison, Design
from bench.analysis.comparison.verdict_rule import Verdict
from bench.errors import gravest
from bench.report.ci_formats import github_annotations, junit
from bench.report.comparison.tables import difference_table, verdict_table
from bench.report.comparison.wording import TONES, difference_answers, verdict_answers
from bench.report.page import SIMULATED, Answer, Badge, Chart, Item, Notice, Page, Prose, Section
from bench.report.quick_import import import_matplotlib
from bench.report.tables import Table, present
from bench.report.units import minute, plural
from bench.shown import all_shown, encodable

PAIRED_METHOD = (
    "Measured in interleaved pairs of blocks. The block is the unit: requests inside one share its "
    "fate. Each pair gives one log ratio of block values (rates: total tokens over total time; "
    "times: median or percentile); their mean is the change, with Student's t over pairs as its "
    "interval, and an exact sign-flip permutation as a cross-check."
)
SEPARATE_METHOD = (
    "Measured as two separate runs. Welch's t on the logs of block values; the spread between "
    "earlier sessions of the same identity is added where at least five are known. Drift between "
    "the runs cannot be distinguished from a change."
)
VERDICT_METHOD = (
    "Verdicts: worse or better if the change is significant and its point lies beyond what is to "
    "be ignored; no change if its 90 % interval lies within what is to be caught (two one-sided "
    "tests); else inconclusive. Metrics that gate are corrected by Holm over all cases; the "
    "others, which never gate, show Benjamini-Hochberg q values."
)


def shown_page(
    comparisons: Sequence[Comparison], distributions: Sequence[Chart] = (), *, charts: bool = True
) -> Page:
    """The page about comparisons with one baseline, safe to be shown, with formats of its own.

    Names come from outside: what obeys control characters gets none. JSON is for programs: names
    stay what they are.
    """
    shown = [all_shown(c) for c in comparisons]
    return replace(
        comparison_page(shown, distributions, charts=charts),
        data=comparison_json([all_shown(c, encodable) for c in comparisons]),
        forms={"junit": lambda: junit(shown), "github": lambda: github_annotations(shown)},
    )


def comparison_page(
    comparisons: Sequence[Comparison], distributions: Sequence[Chart] = (), *, charts: bool = True
) -> Page:
    """The page about comparisons with one baseline; the short forms need no charts."""
    first = comparisons[0]
    simulated = any(c.baseline.simulated or c.candidate.simulated for c in comparisons)
    several = len(comparisons) > 1
    new = f"{len(comparisons)} runs" if several else first.candidate.label
    return Page(
        title=f"{first.scenario}: {new} against {first.baseline.label}",
        badges=_badges(comparisons, simulated),
        facts=_facts(comparisons),
        findings=_findings(comparisons),
        warnings=_notices(comparisons),
        sections=_sections(comparisons, distributions, charts),
        brief=_each(comparisons, lambda c, i: verdict_table(c, i, brief=True)),
        provenance=_each(comparisons, difference_table),
        simulated=simulated,
        data=comparison_json(comparisons),
        data_name="comparison.json",
    )


def _findings(comparisons: Sequence[Comparison]) -> tuple[Answer, ...]:
    """Differences first, then the verdict, then every case."""
    findings: list[Answer] = []
    for comparison in comparisons:
        of_one = [*difference_answers(comparison), *verdict_answers(comparison)]
        if len(comparisons) > 1:
            first, *more = of_one[0].sentences
            first = (f"{comparison.candidate.label}. ", *first)
            of_one[0] = replace(of_one[0], sentences=(first, *more))
        findings += of_one
    return tuple(findings)


def _badges(comparisons: Sequence[Comparison], simulated: bool) -> tuple[Badge, ...]:
    badges = [SIMULATED] if simulated else []
    for comparison in comparisons:
        text = comparison.verdict.value
        if len(comparisons) > 1:
            text = f"{comparison.candidate.label}: {text}"
        if comparison.indicative and comparison.verdict is not Verdict.NOT_COMPARABLE:
            text += " (indicative)"
        badges.append(Badge(text, TONES[comparison.verdict]))
        if failed := len(comparison.failed_thresholds):
            badges.append(Badge(f"{plural(failed, 'threshold')} failed", "bad"))
        if unsure := len(comparison.unsupported_thresholds):
            badges.append(Badge(f"{plural(unsure, 'threshold')} not supported", "caution"))
    return tuple(badges)


def _facts(comparisons: Sequence[Comparison]) -> tuple[tuple[str, str], ...]:
    sides = {"Baseline": comparisons[0].baseline}
    for number, comparison in enumerate(comparisons, 1):
        name = "Candidate" if len(comparisons) == 1 else f"Candidate {number}"
        sides[name] = comparison.candidate
    known = {
        name: (s.label, " + ".join(s.models), s.server_version, minute(s.created_at))
        for name, s in sides.items()
    }
    return tuple((name, ", ".join(filter(None, parts))) for name, parts in known.items())


def _notices(comparisons: Sequence[Comparison]) -> tuple[Notice, ...]:
    """What there is to know, each once; with the candidates it concerns, if not all."""
    of: dict[Notice, list[str]] = {}
    for comparison in comparisons:
        notices = [Notice(n.code, n.message, n.advice) for n in comparison.notes]
        for side, cases in (
            ("baseline", comparison.only_baseline),
            ("candidate", comparison.only_candidate),
        ):
            if cases:
                message = f"Only the {side} has: {'; '.join(cases)}."
                notices.append(Notice("unmatched_case", message))
        for notice in dict.fromkeys(notices):
            of.setdefault(notice, []).append(comparison.candidate.label)
    return tuple(
        notice if len(labels) == len(comparisons) else replace(notice, where=tuple(labels))
        for notice, labels in of.items()
    )


def _sections(
    comparisons: Sequence[Comparison], distributions: Sequence[Chart], charts: bool
) -> tuple[Section, ...]:
    evidence = [
        replace(chart, title=_whose(chart.title, c, comparisons))
        for i, c in enumerate(comparisons)
        if charts
        for chart in _charts(c, i)
    ]
    designs = {case.design for c in comparisons for case in c.cases}
    method = [Prose(PAIRED_METHOD)] if Design.PAIRED in designs else []
    method += [Prose(SEPARATE_METHOD)] if Design.SEPARATE in designs else []
    numbers = _each(comparisons, lambda c, i: verdict_table(c, i, brief=False))
    items: list[tuple[str, str, Sequence[Item]]] = [
        ("differences", "What differs", _each(comparisons, difference_table)),
        ("evidence", "Evidence", [*evidence, *distributions]),
        ("numbers", "All numbers", numbers),
        ("method", "How it was judged", [*method, *([Prose(VERDICT_METHOD)] if method else [])]),
    ]
    return tuple(Section(key, title, tuple(i)) for key, title, i in items if i)


def _each(
    comparisons: Sequence[Comparison], table: Callable[[Comparison, int], Table]
) -> tuple[Table, ...]:
    """A table of every comparison that says whose it is, where there are several."""
    made = [(c, table(c, i)) for i, c in enumerate(comparisons)]
    return present(*(replace(t, caption=_whose(t.caption, c, comparisons)) for c, t in made))


def _whose(title: str, of: Comparison, among: Sequence[Comparison]) -> str:
    return title if len(among) == 1 else f"{title}: {of.candidate.label}"


def _charts(comparison: Comparison, number: int) -> list[Chart]:
    import_matplotlib()
    from bench.report.comparison.charts import block_charts, forest_chart

    charts = [forest_chart(comparison, number), *block_charts(comparison, number)]
    return [c for c in charts if c]


def comparison_json(comparisons: Sequence[Comparison]) -> bytes:
    """`{"schema", "exit_code", "comparisons"}`, each as `bench.analysis.comparison.result` says."""
    each = [{**msgspec.to_builtins(c), "exit_code": int(c.exit_code)} for c in comparisons]
    exit_code = int(gravest(c.exit_code for c in comparisons))
    return msgspec.json.encode({"schema": SCHEMA, "exit_code": exit_code, "comparisons": each})
