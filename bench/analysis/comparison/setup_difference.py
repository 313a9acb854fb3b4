"""One thing that two results differ in, and what it means for comparing them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import CaseSummary
from bench.results.run import RunInfo, TargetInfo
from bench.scenario.plan import Case


class Role(StrEnum):
    """What a difference means for the comparison."""

    COMPARED = "compared"
    """It is what is being compared: asked for on purpose."""
    EXPLAINS = "explains"
    """It may explain a change; the comparison stands."""
    ALLOWED = "allowed"
    """It would forbid the comparison, but the user allowed it."""
    WITHHOLDS = "withholds"
    """The metrics it touches mean something else on either side: no verdict on them."""
    BLOCKS = "blocks"
    """The two must not be compared."""


@dataclass(frozen=True, slots=True)
class SetupDifference:
    """One thing that is not the same on both sides.

    Attributes:
        key: what `--allow` takes, e.g. "served_context", "options.num_ctx".
        baseline, candidate: as text; "" if it is no pair of values.
        message: one sentence.
        metrics: ids of the metrics it touches; empty = all.
        verdict: the only verdict that it can explain; None = a change either way.
    """

    key: str
    baseline: str
    candidate: str
    role: Role
    message: str
    metrics: tuple[str, ...] = ()
    verdict: Verdict | None = None

    def touches(self, metric: str) -> bool:
        """Whether it can move this metric (flat id)."""
        return not self.metrics or metric.partition(".")[0] in self.metrics

    def explains(self, metric: str, verdict: Verdict) -> bool:
        """Whether it may be why the metric got this verdict."""
        may = self.role in (Role.EXPLAINS, Role.ALLOWED) and self.verdict in (None, verdict)
        return may and self.touches(metric)


@dataclass(frozen=True, slots=True)
class CaseSide:
    """One case of one run, with what is known around it."""

    info: RunInfo
    summary: CaseSummary

    @property
    def case(self) -> Case:
        """The case as it was planned."""
        return self.info.plan.case(self.summary.id)

    @property
    def target(self) -> TargetInfo | None:
        """The server as it was found."""
        return next((t for t in self.info.targets if t.name == self.summary.target), None)
