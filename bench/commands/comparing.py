"""Comparisons as Python functions: what `compare`, `ab`, `plan` and `history` do.

import bench
(result,) = bench.compare("runs/before", ["runs/after"])
print(result.verdict, result.exit_code)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison.case_matching import match_sides
from bench.analysis.comparison.compare_runs import (
    Subject,
    check_usable,
    compare_runs,
    compare_sides,
    default_primary,
    refused,
    side_of,
)
from bench.analysis.comparison.history_entry import identity_key
from bench.analysis.comparison.metric_verdicts import Rules, Sessions, no_sessions
from bench.analysis.comparison.planning import ComparisonPlan, plan_comparison
from bench.analysis.comparison.result import Comparison, FailedThreshold, Note, Side
from bench.analysis.comparison.setup_checks import check_allowed
from bench.analysis.comparison.setup_difference import CaseSide
from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import CaseSummary, Summary, ThresholdVerdict
from bench.commands.runs_behind import distribution_charts
from bench.commands.sources import names
from bench.commands.stored_runs import read_subject, resolve
from bench.errors import MeasurementInvalid, NotComparable, UsageError
from bench.results.directory import read_run
from bench.results.history import History
from bench.results.run import RunInfo
from bench.thresholds import parse_compared

COMPARISON_PAGE = "comparison.html"
"""In the run directory of `ab`."""

if TYPE_CHECKING:
    from bench.commands.run import FinishedRun
    from bench.load.observer import Observer
    from bench.load.session import Settings
    from bench.scenario.plan import Plan


@dataclass(frozen=True, slots=True)
class Judging(Rules):
    """How to judge a comparison: by its rules, and whether thresholds gate.

    Attributes:
        primary: metrics that gate, in place of the scenario's.
        gate: the candidate must keep the scenario's thresholds, too.

    Raises:
        UsageError: a key is allowed that names nothing that can differ, or no comparison can rest
            on a metric.
    """

    gate: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", frozenset(names(self.allow)))
        object.__setattr__(self, "primary", names(self.primary))
        check_allowed(self.allow)
        for metric in self.primary:
            try:
                parse_compared(metric)
            except ValueError as error:
                raise UsageError(f"primary {metric}: {error}") from None

    def rules(self, info: RunInfo) -> Rules:
        """The rules for runs of a scenario."""
        return replace(self, primary=self.primary or default_primary(info))


def compare(
    baseline: str | Path,
    candidates: str | Path | Sequence[str | Path] = (),
    *,
    judging: Judging | None = None,
    history: History | None = None,
) -> list[Comparison]:
    """Compare runs: the function behind `ollama-bench compare`.

    Args:
        baseline: run directory, or name in the history.
        candidates: the same; none at all if the baseline is a run in pairs (`ab`).
        judging: how to judge.
        history: where names are looked up, and how much sessions differ.

    Returns:
        One comparison for each candidate. One that cannot be compared has its reason in `refused`:
        it takes nothing from the others.

    Raises:
        ResultsError: a name means no run, or a directory is none.
        NotComparable, MeasurementInvalid: the baseline can be compared with nothing.
    """
    judging = judging or Judging()
    candidates = (candidates,) if isinstance(candidates, str | Path) else candidates
    first = read_subject(baseline, history)
    rules = judging.rules(first.info)
    if not candidates:
        return [_compared_sides(first, rules, judging)]
    others = [read_subject(name, history) for name in candidates]
    check_usable(first, rules)
    judged = {subject.info.id for subject in (first, *others)}
    left_out = _left_out(history, first)
    compared = []
    for other in others:
        sessions = _sessions(history, first.info, other.info, judged)
        make = partial(compare_runs, first, other, rules, sessions)
        compared.append(_or_refused(make, side_of(first), side_of(other), other, rules, judging))
    return [c if c.refused else replace(c, notes=(*c.notes, *left_out)) for c in compared]


def _left_out(history: History | None, baseline: Subject) -> tuple[Note, ...]:
    """Earlier runs of the baseline's cases that are no sessions, by name."""
    if history is None:
        return ()
    names = dict.fromkeys(
        name
        for case in baseline.summary.cases
        for name in history.left_out(
            identity_key(CaseSide(baseline.info, case)), case.identity.server_version
        )
        if not name.startswith(f"{baseline.info.id} ")
    )
    message = f"Left out of the earlier sessions: {', '.join(names)}."
    return (Note("sessions_left_out", message),) if names else ()


def _compared_sides(subject: Subject, rules: Rules, judging: Judging) -> Comparison:
    match_sides(subject.summary.cases)
    a, b = (replace(side_of(subject), label=f"side {letter}") for letter in "ab")
    return _or_refused(
        partial(compare_sides, subject, rules), a, b, subject, rules, judging, gated="b: "
    )


def _or_refused(
    make: Callable[[], Comparison],
    a: Side,
    b: Side,
    candidate: Subject,
    rules: Rules,
    judging: Judging,
    gated: str = "",
) -> Comparison:
    """A comparison, or why there is none.

    A candidate that is unlike the baseline must keep the scenario's thresholds all the same; of one
    that is incomplete or invalid nothing is said.
    """
    usable = False
    try:
        check_usable(candidate, rules)
        usable = True
        found = make()
    except (NotComparable, MeasurementInvalid) as error:
        found = refused(a, b, candidate.summary.name, error)
    return _gated(found, candidate.summary, gated) if usable and judging.gate else found


def ab(
    plan: Plan,
    *,
    judging: Judging | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    report: bool = True,
    template: str | Path | None = None,
) -> tuple[FinishedRun, Comparison | None]:
    """Measure two sides in interleaved pairs, and compare them: the function behind `ab`.

    Args:
        plan: with pairs of blocks; `bench.commands.sides.ab_plan` makes one.
        judging: how to judge.
        settings: where results go, and how to send.
        observer: receives how the run goes.
        report: write report.html and comparison.html as well.
        template: folder of the user's own templates, for the comparison.

    Returns:
        The run, and the comparison (with its reason in `refused` if the two sides cannot be
        compared); None if the run was interrupted.

    Raises:
        BenchError: it could not be run or compared; see `bench.errors`.
    """
    from bench.commands.run import run_plan
    from bench.results.run import RunStatus

    run = run_plan(plan, settings=settings, observer=observer, report=report)
    if run.info.status is not RunStatus.COMPLETE:
        return run, None
    judging = judging or Judging()
    subject = Subject(run.path.name, run.info, run.summary)
    try:
        comparison = _compared_sides(subject, judging.rules(run.info), judging)
    except NotComparable as error:
        error.advise(f"What was measured is kept in {run.path}")
        raise
    return _kept(run, comparison, report, Path(template) if template else None), comparison


def _kept(
    run: FinishedRun, comparison: Comparison, report: bool, template: Path | None
) -> FinishedRun:
    """The run with comparison.json, and comparison.html if reports are wanted."""
    from bench.commands.run import with_file
    from bench.report.comparison.comparison_page import shown_page
    from bench.report.formats import render

    charts = distribution_charts([run.path]) if report else ()
    page = shown_page([comparison], charts, charts=report)
    run = with_file(run, "comparison.json", render(page, "json").encode())
    if not report:
        return run
    return with_file(run, COMPARISON_PAGE, render(page, "html", template).encode())


def plan_pairs(
    run: str | Path, *, judging: Judging | None = None, history: History | None = None
) -> ComparisonPlan:
    """Plan a comparison from a pilot or any stored run: the function behind `plan`.

    Of a run that was interrupted the whole blocks are used, and the plan says so.

    Raises:
        ResultsError: it is no run.
        NotComparable: it holds no complete block.
        MeasurementInvalid: it is invalid, and `judging.allow` does not name "invalid".
    """
    path = resolve(run, history)
    stored = read_run(path)
    summary = summarise(stored.info, stored.records)
    judging = judging or Judging()
    if not any(block.complete for block in stored.info.blocks):
        raise NotComparable(
            f"{path.name} holds no complete block ({stored.info.status})",
            "Plan from a run that ended: ollama-bench plan SCENARIO makes one.",
        )
    allowed = judging.allow | {"incomplete"}  # what there is of it is named and used
    check_usable(
        Subject(path.name, stored.info, summary), replace(judging.rules(stored.info), allow=allowed)
    )
    return plan_comparison(stored.info, stored.records, summary, judging.rules(stored.info))


def _sessions(
    history: History | None, baseline: RunInfo, candidate: RunInfo, judged: Collection[str]
) -> Sessions:
    """Earlier sessions of the baseline's cases, from which is known how much sessions differ.

    The judged runs are none of them: Student's t needs a spread that is independent of the
    difference, and with the baseline among them the test would not hold its level. Nor is any run
    later than both, which may show what the candidate shows.
    """
    if history is None:
        return no_sessions
    latest = max(baseline.created_at, candidate.created_at)

    def sessions(case: CaseSummary, metric: str) -> Sequence[float]:
        key = identity_key(CaseSide(baseline, case))
        found = history.sessions(key, case.identity.server_version)
        # A run in pairs may hold an identity twice, and is one session all the same.
        by_run = {
            s.run: s.case.values[metric].value
            for s in found
            if s.run not in judged and s.created_at <= latest and metric in s.case.values
        }
        return list(by_run.values())

    return sessions


def _gated(comparison: Comparison, summary: Summary, side: str) -> Comparison:
    """With the thresholds that the candidate does not keep for certain."""

    def those(verdict: ThresholdVerdict) -> tuple[FailedThreshold, ...]:
        return tuple(
            FailedThreshold(t.threshold.text, t.case, t.message)
            for t in summary.thresholds
            if t.verdict is verdict and t.case.startswith(side)
        )

    return replace(
        comparison,
        failed_thresholds=those(ThresholdVerdict.NOT_MET),
        unsupported_thresholds=those(ThresholdVerdict.UNSUPPORTED),
    )


def _comparison_html(comparison: Comparison) -> str:
    from bench.report.comparison.comparison_page import shown_page
    from bench.report.notebook import fragment

    return fragment(shown_page([comparison], charts=False))


# Analysis knows no reports, so how a comparison looks in a notebook is hung on from here.
setattr(Comparison, "_repr_html_", _comparison_html)  # noqa: B010
