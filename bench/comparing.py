"""Comparisons as Python functions: what `compare`, `ab`, `plan` and `history` do.

import bench
(result,) = bench.compare("runs/before", ["runs/after"])
print(result.verdict, result.exit_code)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.analysis.compare import Subject, compare_runs, compare_sides, default_primary
from bench.analysis.comparison import Comparison, FailedThreshold
from bench.analysis.difference import CaseSide
from bench.analysis.history_entry import history_entry, identity_key
from bench.analysis.judging import Rules, Sessions, no_sessions
from bench.analysis.planning import ComparisonPlan, plan_comparison
from bench.analysis.summarise import summarise
from bench.analysis.summary import CaseSummary, Summary
from bench.errors import ResultsError
from bench.results.directory import SUMMARY_FILE, read_info, read_run
from bench.results.history import History
from bench.results.journal import REQUESTS_FILE
from bench.results.run import RunInfo

if TYPE_CHECKING:
    from bench.api import FinishedRun
    from bench.load.observer import Observer
    from bench.load.session import Settings


@dataclass(frozen=True, slots=True)
class Judging:
    """How to judge a comparison.

    Attributes:
        allow: keys of differences that are allowed.
        catch, ignore: own sizes of changes by metric id, e.g. {"ttft_s.p50": 0.2}; "*" = all.
        primary: metrics that gate, in place of the scenario's.
        strict: call a change only if its whole interval lies beyond what is ignored.
        gate: the candidate must keep the scenario's thresholds, too.
    """

    allow: frozenset[str] = frozenset()
    catch: Mapping[str, float] = field(default_factory=dict)
    ignore: Mapping[str, float] = field(default_factory=dict)
    primary: tuple[str, ...] = ()
    strict: bool = False
    gate: bool = False

    def rules(self, info: RunInfo) -> Rules:
        """The rules for runs of a scenario."""
        primary = self.primary or default_primary(info)
        return Rules(primary, self.catch, self.ignore, self.allow, self.strict)


def compare(
    baseline: str | Path,
    candidates: Sequence[str | Path] = (),
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
        One comparison for each candidate.

    Raises:
        ResultsError: a name means no run, or a directory is none.
        NotComparable, MeasurementInvalid: see `bench.analysis.compare`.
    """
    judging = judging or Judging()
    first = read_subject(baseline, history)
    rules = judging.rules(first.info)
    if not candidates:
        return [_gated(compare_sides(first, rules), first.summary, judging, side="b: ")]
    results = []
    for name in candidates:
        other = read_subject(name, history)
        sessions = _sessions(history, first.info, other.info)
        comparison = compare_runs(first, other, rules, sessions)
        results.append(_gated(comparison, other.summary, judging))
    return results


def ab(
    scenario: str | Path,
    a: Sequence[str],
    b: Sequence[str],
    *,
    pairs: int,
    judging: Judging | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    models: Sequence[str] = (),
    hosts: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> tuple[FinishedRun, Comparison | None]:
    """Measure two sides in interleaved pairs, and compare them: the function behind `ab`.

    Args:
        scenario: path of a file, or name of a shipped scenario.
        a: what is set on side a, `key=value` each; see `bench.sides`.
        b: likewise for side b.
        pairs: pairs of blocks for each case; fixed beforehand.
        judging: how to judge.
        settings: where results go, and how to send.
        observer: is told how the run goes.
        models: of both sides, where a side names none.
        hosts: likewise.
        overrides: keys of the scenario, on both sides.
        seed: takes the place of the scenario's.

    Returns:
        The run, and the comparison; None if the run was interrupted.

    Raises:
        BenchError: it could not be run or compared; see `bench.errors`.
    """
    from bench.api import run_plan
    from bench.results.run import RunStatus
    from bench.sides import ab_plan

    plan = ab_plan(
        scenario, a, b, pairs, models=models, hosts=hosts, overrides=overrides, seed=seed
    )
    run = run_plan(plan, settings=settings, observer=observer, report=False)
    if run.info.status is not RunStatus.COMPLETE:
        return run, None
    judging = judging or Judging()
    subject = Subject(plan.name, run.info, run.summary)
    comparison = compare_sides(subject, judging.rules(run.info))
    return run, _gated(comparison, run.summary, judging, side="b: ")


def plan_pairs(
    run: str | Path, *, judging: Judging | None = None, history: History | None = None
) -> ComparisonPlan:
    """Plan a comparison from a pilot or any stored run: the function behind `plan`.

    Raises:
        ResultsError: it is no run.
    """
    path = resolve(run, history)
    stored = read_run(path)
    summary = summarise(stored.info, stored.records)
    rules = (judging or Judging()).rules(stored.info)
    return plan_comparison(stored.info, stored.records, summary, rules)


def index_run(path: Path, history: History) -> None:
    """Index a run directory in the history.

    Raises:
        ResultsError: it is no run directory, or the history cannot be written.
    """
    info = read_info(path)
    history.add(history_entry(path, info, read_summary(path, info)))


def resolve(name: str | Path, history: History | None) -> Path:
    """The run directory that a user means: a path, or a name in the history.

    Raises:
        ResultsError: there is neither.
    """
    path = Path(name)
    if path.exists() or history is None:
        return path
    looks_like_path = isinstance(name, Path) or any(s in name for s in ("/", "\\"))
    if looks_like_path:
        return path
    found = history.find(str(name))
    if not found.path.is_dir():
        raise ResultsError(
            f"the run directory of {found.id} is gone: {found.path}",
            "If it was moved, index it again: ollama-bench history rebuild FOLDER",
        )
    return found.path


def read_subject(name: str | Path, history: History | None) -> Subject:
    """A run to be compared, by path or by name in the history.

    Raises:
        ResultsError: there is no such run.
    """
    path = resolve(name, history)
    info = read_info(path)
    return Subject(path.name or str(name), info, read_summary(path, info))


def read_summary(path: Path, info: RunInfo) -> Summary:
    """The summary of a run: as it was written if it still holds, else computed from the records.

    It holds if this version of the program wrote it, when the run had ended, after its last record.

    Raises:
        ResultsError: the run cannot be read.
    """
    written = _written_summary(path, info)
    if written is not None:
        return written
    run = read_run(path)
    return summarise(run.info, run.records)


def _written_summary(path: Path, info: RunInfo) -> Summary | None:
    import msgspec

    from bench.analysis.summary_json import from_json

    file, journal = path / SUMMARY_FILE, path / REQUESTS_FILE
    try:
        if file.stat().st_mtime_ns < journal.stat().st_mtime_ns:
            return None
        content = json.loads(file.read_bytes())
        summary = from_json(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError):
        return None
    wrote = (summary.run_id, summary.status, summary.tool_version)
    return summary if wrote == (info.id, info.status.value, bench.__version__) else None


def _sessions(history: History | None, baseline: RunInfo, candidate: RunInfo) -> Sessions:
    """Earlier sessions of the baseline's cases; the candidate is none of them."""
    if history is None:
        return no_sessions

    def sessions(case: CaseSummary, metric: str) -> Sequence[float]:
        key = identity_key(CaseSide(baseline, case))
        found = history.sessions(key, case.identity.server_version)
        return [
            s.case.values[metric].value
            for s in found
            if s.run != candidate.id and metric in s.case.values
        ]

    return sessions


def _gated(
    comparison: Comparison, summary: Summary, judging: Judging, side: str = ""
) -> Comparison:
    """With the thresholds that the candidate fails, if they gate."""
    if not judging.gate:
        return comparison
    failed = tuple(
        FailedThreshold(t.expression, t.case, t.message)
        for t in summary.thresholds
        if not t.passed and t.case.startswith(side)
    )
    return replace(comparison, failed_thresholds=failed)
