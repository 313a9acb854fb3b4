"""One thing that two results differ in, and what it means for comparing them; server versions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import CaseSummary
from bench.ollama.eras import Boundary, boundaries_between
from bench.results.run import RunInfo, TargetInfo
from bench.scenario.plan import Case, Target

UNKNOWN_VERSION = "unknown"


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
        moved = verdict in (Verdict.WORSE, Verdict.BETTER) and self.verdict in (None, verdict)
        return moved and self.role in (Role.EXPLAINS, Role.ALLOWED) and self.touches(metric)


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
    def server(self) -> Target | None:
        """The server as it was planned."""
        targets = self.info.plan.targets
        return next((t for t in targets if t.name == self.summary.target), None)

    @property
    def target(self) -> TargetInfo | None:
        """The server as it was found."""
        return next((t for t in self.info.targets if t.name == self.summary.target), None)


def era_differences(a: CaseSide, b: CaseSide, allow: Collection[str]) -> list[SetupDifference]:
    """Versions between the two at which numbers changed their meaning, oldest first.

    A version that is not known counts as the newest, as it did when its numbers were read. "era" in
    `allow` lets metrics be compared though they mean something else.
    """
    first, second = (side.summary.identity.server_version for side in (a, b))
    if first == second:
        return []
    versions = first or UNKNOWN_VERSION, second or UNKNOWN_VERSION
    return [
        SetupDifference(
            "era",
            *versions,
            Role.WITHHOLDS if x.kind == "definition" and "era" not in allow else Role.EXPLAINS,
            f"Since {x.version}: {x.reason}"
            + (f" To compare all the same: {x.remedy}." if x.remedy else ""),
            x.metrics,
        )
        for x in boundaries_between(first, second)
        if not _remedied(x, a.case, b.case)
    ]


def _remedied(boundary: Boundary, *cases: Case) -> bool:
    """Whether both sides already do what makes them comparable across the boundary."""
    option = boundary.remedy.removeprefix("set options.")
    if option != boundary.remedy:
        return all(option in case.options for case in cases)
    # A cache miss mends what concerns reading the prompt, and nothing else.
    prompts_only = not {"decode_tok_per_s", "queue_s"} & set(boundary.metrics)
    if boundary.remedy.startswith("bust the prompt cache") and prompts_only:
        return all(case.prompts.cache == "bust" for case in cases)
    return False
