"""Comparisons as GitHub annotations: workflow commands that mark a run of GitHub Actions.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.comparison.result import Comparison, MetricComparison
from bench.analysis.comparison.setup_difference import Role
from bench.analysis.comparison.verdict_rule import Verdict
from bench.report.comparison.wording import change_shown, key_name, metric_name, verdict_text

_LEVELS = {
    Verdict.WORSE: "error",
    Verdict.NO_SAMPLES: "error",
    Verdict.NOT_COMPARABLE: "warning",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.BETTER: "notice",
    Verdict.NO_CHANGE: "notice",
}


def github_annotations(comparisons: Sequence[Comparison]) -> str:
    """One line an annotation: differences first, then metrics that gate, then thresholds."""
    several = len(comparisons) > 1
    return "".join(
        command(level, title, f"{c.candidate.label}: {said}" if several else said) + "\n"
        for c in comparisons
        for level, title, said in _annotations(c)
    )


def _annotations(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Level, title and message of each."""
    if comparison.refused is not None:
        refused = comparison.refused
        title = f"{comparison.candidate.label} is not comparable"
        yield "error", title, f"{refused.message}\n{refused.advice}".strip()
    differing = dict.fromkeys(
        (d.key, d.baseline, d.candidate, d.message)
        for case in comparison.cases
        for d in case.differences
        if d.role is not Role.COMPARED
    )
    for key, before, after, message in differing:
        change = f"{before} \u2192 {after}. " if before or after else ""
        yield "warning", f"{key_name(key)} differs", f"{change}{message}"
    for note in comparison.notes:
        yield "notice", note.code, f"{note.message} {note.advice}".strip()
    for case, m in comparison.judged():
        if m.primary:
            yield _level(m), f"{metric_name(m.metric)}: {verdict_text(m)}", _body(case.case, m)
    for t in comparison.failed_thresholds:
        yield "error", f"threshold failed: {t.expression}", f"{t.case}: {t.message}"
    for t in comparison.unsupported_thresholds:
        yield "warning", f"threshold needs more data: {t.expression}", f"{t.case}: {t.message}"


def _level(m: MetricComparison) -> str:
    level = _LEVELS[m.verdict]
    return "warning" if m.indicative and level == "error" else level


def _body(case: str, m: MetricComparison) -> str:
    said = m.note if m.change is None else change_shown(m).full
    return f"{case}: {said}"


def command(level: str, title: str, message: str) -> str:
    """One annotation: level is error, warning or notice."""
    title = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
