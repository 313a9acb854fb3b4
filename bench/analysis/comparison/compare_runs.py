"""Compare two runs, or the two sides of one run made in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.analysis.comparison.case_matching import Match, match_cases, match_sides
from bench.analysis.comparison.causes import cached_causes, machine_causes, with_placement
from bench.analysis.comparison.metric_verdicts import (
    MeasuredMetric,
    Rules,
    Sessions,
    compared_metrics,
    judge_metrics,
    measure_metric,
    no_sessions,
)
from bench.analysis.comparison.notes import (
    era_notes,
    memory_notes,
    moved,
    order_notes,
    same_run_notes,
    session_notes,
    unsteady_notes,
)
from bench.analysis.comparison.result import (
    CaseComparison,
    Comparison,
    Design,
    MetricComparison,
    Note,
    Refusal,
    Side,
    overall,
)
from bench.analysis.comparison.setup_checks import setup_differences
from bench.analysis.comparison.setup_difference import CaseSide, Role, SetupDifference
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import CaseSummary, Summary
from bench.errors import BenchError, MeasurementInvalid, NotComparable
from bench.results.run import RunInfo, RunStatus


@dataclass(frozen=True, slots=True)
class Subject:
    """A run to be compared.

    Attributes:
        label: how the user called it.
    """

    label: str
    info: RunInfo
    summary: Summary


def compare_runs(
    baseline: Subject, candidate: Subject, rules: Rules, sessions: Sessions = no_sessions
) -> Comparison:
    """Compare two runs that were made separately.

    `sessions` are values of earlier sessions of the baseline's identity; with fewer than five the
    verdicts are only indicative.

    Raises:
        NotComparable: the two differ in what they are, have no case in common, or one is
            incomplete, and `rules.allow` does not name it.
        MeasurementInvalid: a run is invalid, and `rules.allow` does not name "invalid".
    """
    for subject in (baseline, candidate):
        check_usable(subject, rules)
    matches, only_baseline, only_candidate = match_cases(
        baseline.summary.cases, candidate.summary.cases
    )
    cases = _compare(matches, baseline, candidate, Design.SEPARATE, rules, sessions)
    notes = [
        *same_run_notes(baseline.info.id, candidate.info.id),
        *era_notes(cases),
        *session_notes(cases),
        *unsteady_notes(matches, Design.SEPARATE),
    ]
    # In two separate runs, movement within one cannot be distinguished from a change.
    cases = [_indicative(case, m.sides) for case, m in zip(cases, matches, strict=True)]
    return replace(
        _comparison(side_of(baseline), side_of(candidate), candidate.summary.name, cases, notes),
        only_baseline=tuple(only_baseline),
        only_candidate=tuple(only_candidate),
    )


def compare_sides(subject: Subject, rules: Rules) -> Comparison:
    """Compare the two sides of a run made in pairs (`ab`): side a is the baseline.

    Raises:
        NotComparable, MeasurementInvalid: as for `compare_runs`; also if the blocks of a pair were
            not run back to back (key "order").
    """
    check_usable(subject, rules)
    matches = match_sides(subject.summary.cases)
    notes = list(order_notes(matches, "order" in rules.allow))
    cases = _compare(matches, subject, subject, Design.PAIRED, rules, no_sessions)
    if notes:
        cases = [_indicative(case) for case in cases]
    notes = [
        *era_notes(cases), *notes, *unsteady_notes(matches, Design.PAIRED), *memory_notes(matches)
    ]  # fmt: skip
    a, b = (
        replace(side_of(subject, [m.sides[i] for m in matches]), label=f"side {'ab'[i]}")
        for i in (0, 1)
    )
    return _comparison(a, b, subject.summary.name, cases, notes)


def default_primary(info: RunInfo) -> tuple[str, ...]:
    """The metrics that gate: those of the scenario, without the ones that cannot exist.

    Only of the default ones: a scenario that names a metric itself means it.
    """
    plan = info.plan
    if plan.scenario.get("primary") or any(case.stream for case in plan.cases):
        return plan.primary
    return tuple(m for m in plan.primary if not m.startswith(("ttft_s", "answer_ttft_s")))


def _compare(
    matches: Sequence[Match],
    baseline: Subject,
    candidate: Subject,
    design: Design,
    rules: Rules,
    sessions: Sessions,
) -> list[CaseComparison]:
    paired = design is Design.PAIRED
    names = ("side a", "side b") if paired else ("the baseline", "the candidate")
    sides = [
        (CaseSide(baseline.info, m.baseline), CaseSide(candidate.info, m.candidate))
        for m in matches
    ]
    found = [
        (
            *with_placement(
                setup_differences(a, b, intended=paired, allow=rules.allow), a, b, names
            ),
            *machine_causes(a, b, names),
            *cached_causes(a.summary, b.summary, design, names),
        )
        for a, b in sides
    ]
    _check_comparable(matches, found)
    measured: list[list[MeasuredMetric]] = [
        [
            measure_metric(metric, m.baseline, m.candidate, design, rules, different, sessions)
            for metric in compared_metrics(m.baseline, m.candidate, rules.primary)
        ]
        for m, different in zip(matches, found, strict=True)
    ]
    judged = iter(judge_metrics([m for case in measured for m in case], rules))
    return [
        CaseComparison(
            case=m.label,
            baseline_case=m.baseline.id,
            candidate_case=m.candidate.id,
            design=design,
            differences=different,
            metrics=tuple(_explained(next(judged), different) for _ in of_case),
        )
        for m, different, of_case in zip(matches, found, measured, strict=True)
    ]


def _explained(row: MetricComparison, found: Sequence[SetupDifference]) -> MetricComparison:
    moved_by = (d.key for d in found if d.explains(row.metric, row.verdict))
    return replace(row, explained_by=tuple(dict.fromkeys(moved_by)))


def _comparison(
    baseline: Side,
    candidate: Side,
    scenario: str,
    cases: Sequence[CaseComparison],
    notes: Sequence[Note],
) -> Comparison:
    judged = overall([m for case in cases for m in case.metrics])
    return Comparison(baseline, candidate, *judged, tuple(cases), tuple(notes), scenario=scenario)


def refused(baseline: Side, candidate: Side, scenario: str, error: BenchError) -> Comparison:
    """What is said of a candidate that cannot be compared, so that others can be beside it."""
    why = Refusal(error.message, error.advice, error.exit_code)
    verdict = Verdict.NOT_COMPARABLE
    return Comparison(baseline, candidate, verdict, False, (), scenario=scenario, refused=why)


def side_of(subject: Subject, cases: Sequence[CaseSummary] | None = None) -> Side:
    """How a run, or some cases of it, are called in reports."""
    used = subject.summary.cases if cases is None else cases
    versions = dict.fromkeys(c.identity.server_version for c in used if c.identity.server_version)
    return Side(
        label=subject.label,
        run_id=subject.summary.run_id,
        created_at=subject.info.created_at,
        server_version=", ".join(versions),
        models=tuple(dict.fromkeys(c.model for c in used)),
        simulated=any(c.simulated for c in used),
    )


def check_usable(subject: Subject, rules: Rules) -> None:
    """Whether a run can be compared with anything.

    Raises:
        NotComparable: it is incomplete.
        MeasurementInvalid: it is invalid.
    """
    if subject.info.status is not RunStatus.COMPLETE and "incomplete" not in rules.allow:
        done = sum(block.complete for block in subject.info.blocks)
        raise NotComparable(
            f"{subject.label} is incomplete ({subject.info.status}, {done} of "
            f"{len(subject.info.plan.blocks)} blocks)",
            "Run it again, or compare what there is with --allow incomplete.",
        )
    if not subject.summary.valid and "invalid" not in rules.allow:
        reasons = [w.message for w in subject.summary.warnings if w.invalidates]
        raise MeasurementInvalid(
            f"{subject.label} is not a valid measurement: {'; '.join(reasons) or 'see its report'}",
            "Mend that and run it again, or go on all the same with --allow invalid.",
        )


def _check_comparable(matches: Sequence[Match], found: Sequence[Sequence[SetupDifference]]) -> None:
    """Raise for all differences that forbid the comparison, each named once with its cases."""
    blocking: dict[SetupDifference, list[str]] = {}
    for match, different in zip(matches, found, strict=True):
        for d in different:
            if d.role is Role.BLOCKS:
                blocking.setdefault(d, []).append(match.label)
    if not blocking:
        return
    lines = []
    for d, labels in blocking.items():
        values = f" {d.baseline} -> {d.candidate}" if d.baseline or d.candidate else ""
        where = "" if len(labels) == len(matches) else f" (in {'; '.join(labels)})"
        lines.append(f"  {d.key}:{values}{where}. {d.message}".rstrip())
    keys = " ".join(f"--allow {key}" for key in dict.fromkeys(d.key for d in blocking))
    raise NotComparable(
        "the two differ in:\n" + "\n".join(lines),
        f"Make these equal and measure again; if they are what you want to compare: {keys}",
    )


def _indicative(case: CaseComparison, moving: Sequence[CaseSummary] = ()) -> CaseComparison:
    """The case with verdicts that are only indicative: of what moved in these, or of all."""
    rows = tuple(
        replace(m, indicative=True)
        if m.p_value is not None
        and (not moving or any(moved(x.steadiness, m.metric) for x in moving))
        else m
        for m in case.metrics
    )
    return replace(case, metrics=rows)
