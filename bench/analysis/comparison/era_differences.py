"""Server versions between two results at which a number changed its meaning, or its cause."""

from __future__ import annotations

from collections.abc import Collection

from bench.analysis.comparison.setup_difference import CaseSide, Role, SetupDifference
from bench.ollama.eras import Boundary, boundaries_between
from bench.scenario.plan import Case

UNKNOWN_VERSION = "unknown"


def era_differences(a: CaseSide, b: CaseSide, allow: Collection[str]) -> list[SetupDifference]:
    """Versions between the two at which numbers changed their meaning, oldest first.

    A version that is not known counts as the newest, as it did when its numbers were read. "era" in
    `allow` lets metrics be compared though they mean something else.
    """
    first, second = (side.summary.identity.server_version for side in (a, b))
    if first == second:
        return []
    between = boundaries_between(first, second)
    versions = first or UNKNOWN_VERSION, second or UNKNOWN_VERSION
    return [
        SetupDifference("era", *versions, _era_role(x, allow), _era_message(x), x.metrics)
        for x in between
        if not _remedied(x, a.case, b.case)
    ]


def _era_role(boundary: Boundary, allow: Collection[str]) -> Role:
    if boundary.kind != "definition" or "era" in allow:
        return Role.EXPLAINS
    return Role.WITHHOLDS


def _era_message(boundary: Boundary) -> str:
    remedy = f" To compare all the same: {boundary.remedy}." if boundary.remedy else ""
    return f"Since {boundary.version}: {boundary.reason}{remedy}"


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
