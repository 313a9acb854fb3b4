"""What a comparison says: the content of `comparison.json`, and all that its reports are made from.

Keys are stable and documented here. Changes are relative: -0.05 is a loss of 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.comparison.setup_difference import SetupDifference
from bench.analysis.comparison.verdict_rule import Verdict
from bench.errors import GRAVEST, ExitCode

SCHEMA = 1
"""Version of the comparison's JSON. History: 1 = first."""


class Design(StrEnum):
    """How the two sides were measured."""

    PAIRED = "paired"
    """Interleaved pairs of blocks in one run: what drifts cancels."""
    SEPARATE = "separate"
    """Two runs, one after the other: what drifts does not cancel."""


@dataclass(frozen=True, slots=True)
class BlockPoint:
    """A metric's value in one block.

    Attributes:
        start_s: start of the block in its run.
        pair, position: of the block in a paired design; else None.
    """

    value: float
    start_s: float
    pair: int | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of one case, judged.

    Attributes:
        metric: flat id, e.g. "ttft_s.p50".
        better: "higher" or "lower".
        primary: it gates; else it is only shown.
        catch, ignore: the two sizes it was judged by.
        verdict: what is said of it.
        indicative: the data allow a hint only (see `Comparison.notes`); it never gates.
        baseline, candidate: geometric mean of the block values.
        change: candidate / baseline - 1.
        low, high: 95 % interval of `change`.
        p_value: two-sided, of "no change".
        p_corrected: after Holm (primary metrics) or Benjamini-Hochberg (the others).
        sign_flip_p: cross-check by permutation; paired designs only.
        n: pairs, or blocks of the smaller side.
        pairs_needed: pairs that would settle an inconclusive verdict; None if not asked or if
            no number of pairs will.
        sessions: earlier sessions that the interval rests on; separate runs only.
        explained_by: keys of the differences that may explain the change.
        note: why there is no verdict, or what to keep in mind.
        baseline_blocks, candidate_blocks: what it was computed from, in order of time.
    """

    metric: str
    unit: str
    better: str
    primary: bool
    catch: float
    ignore: float
    verdict: Verdict
    indicative: bool = False
    baseline: float | None = None
    candidate: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_corrected: float | None = None
    sign_flip_p: float | None = None
    n: int = 0
    pairs_needed: int | None = None
    sessions: int = 0
    explained_by: tuple[str, ...] = ()
    note: str = ""
    baseline_blocks: tuple[BlockPoint, ...] = ()
    candidate_blocks: tuple[BlockPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseComparison:
    """One case on both sides.

    Attributes:
        case: what the two have in common, readable.
        baseline_case, candidate_case: their ids in their runs.
    """

    case: str
    baseline_case: str
    candidate_case: str
    design: Design
    differences: tuple[SetupDifference, ...]
    metrics: tuple[MetricComparison, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One side, as it is called in reports."""

    label: str
    run_id: str
    created_at: str
    server_version: str
    models: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader must know about the comparison, and what to do about it."""

    code: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class FailedThreshold:
    """A threshold of the scenario that the candidate does not keep, or not for certain."""

    expression: str
    case: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a candidate was not compared, and what to do about it.

    Attributes:
        exit_code: 4 not comparable, or 5 invalid.
    """

    message: str
    advice: str
    exit_code: ExitCode


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is said of one baseline and one candidate.

    Attributes:
        scenario: name of what was measured.
        verdict: over the primary metrics of all cases.
        indicative: the verdict is a hint only.
        only_baseline, only_candidate: cases without a counterpart.
        failed_thresholds: filled by a gate.
        unsupported_thresholds: filled by a gate: those that the candidate has too few requests for.
        refused: why there is nothing but this to say; then the verdict is "not comparable", and
            there are no cases.
    """

    baseline: Side
    candidate: Side
    verdict: Verdict
    indicative: bool
    cases: tuple[CaseComparison, ...]
    notes: tuple[Note, ...] = ()
    only_baseline: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()
    failed_thresholds: tuple[FailedThreshold, ...] = ()
    unsupported_thresholds: tuple[FailedThreshold, ...] = ()
    scenario: str = ""
    refused: Refusal | None = None
    schema: int = SCHEMA

    @property
    def exit_code(self) -> ExitCode:
        """0 no change or better, 1 worse or a threshold failed, 3 inconclusive, 4 withheld.

        Of a candidate that was refused: 4 or 5, as its refusal says.
        """
        if self.failed_thresholds:
            return ExitCode.WORSE
        if self.refused is not None:
            return self.refused.exit_code
        code = exit_code(self.verdict, self.indicative)
        if code is ExitCode.OK and self.unsupported_thresholds:
            return ExitCode.INCONCLUSIVE
        return code

    def judged(self) -> Iterator[tuple[CaseComparison, MetricComparison]]:
        """Every metric of every case."""
        for case in self.cases:
            for metric in case.metrics:
                yield case, metric


_CODES: Mapping[Verdict, ExitCode] = {
    Verdict.NO_SAMPLES: ExitCode.WORSE,
    Verdict.WORSE: ExitCode.WORSE,
    Verdict.NOT_COMPARABLE: ExitCode.NOT_COMPARABLE,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.BETTER: ExitCode.OK,
    Verdict.NO_CHANGE: ExitCode.OK,
}
"""The gravest first."""


def exit_code(verdict: Verdict, indicative: bool) -> ExitCode:
    """The exit code of a verdict; one that is only indicative concludes nothing."""
    absent = verdict in (Verdict.NO_SAMPLES, Verdict.NOT_COMPARABLE)
    return ExitCode.INCONCLUSIVE if indicative and not absent else _CODES[verdict]


def overall(metrics: Sequence[MetricComparison]) -> tuple[Verdict, bool]:
    """The gravest verdict of the primary metrics, and whether it is only indicative.

    They rank by what they would make of the exit code, so an indication outweighs neither a firm
    loss nor a metric that cannot be compared.
    """
    primary = [(m.verdict, m.indicative) for m in metrics if m.primary]
    return min(primary, key=_gravity, default=(Verdict.NO_SAMPLES, False))


def _gravity(judged: tuple[Verdict, bool]) -> tuple[int, int]:
    return GRAVEST.index(exit_code(*judged)), list(_CODES).index(judged[0])
