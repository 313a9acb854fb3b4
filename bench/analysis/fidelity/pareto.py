"""Speed against fidelity: which models another one beats in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.fidelity.result import Distance, FidelityResult, Nearer
from bench.stats.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Dominated:
    """A side that another one beats.

    Attributes:
        side, by: positions in `FidelityResult.sides`.
        alike: no difference of the two was found in fidelity, so it is beaten in speed alone.
    """

    side: int
    by: int
    alike: bool


def dominated(result: FidelityResult, speeds: Mapping[int, Estimate]) -> tuple[Dominated, ...]:
    """The sides of which another is faster for certain, and closer to the original or as close.

    Faster for certain: the intervals do not overlap. Closer: the verdict on the two, paired by
    text. What is open dominates nothing.

    Args:
        result: of the fidelity.
        speeds: side -> tokens per second, of those that have a speed.

    Returns:
        Each dominated side once, with the closest of those that beat it.
    """
    order = _nearest_first(result)
    found = []
    for side in (s for s in order if s in speeds):
        for by in (s for s in order if s in speeds and s != side):
            alike = _no_worse(result, by, side)
            if alike is not None and _faster(speeds[by], speeds[side]):
                found.append(Dominated(side, by, alike))
                break
    return tuple(found)


def front(result: FidelityResult, speeds: Mapping[int, Estimate]) -> tuple[int, ...]:
    """The sides that none beats by the values alone, from the fastest to the closest: a line."""
    kept: list[int] = []
    fastest = 0.0
    for side in _nearest_first(result):
        value = speeds[side].value if side in speeds else None
        if value is not None and value > fastest:
            fastest = value
            kept.append(side)
    return tuple(reversed(kept))


def _nearest_first(result: FidelityResult) -> list[int]:
    """The reference, then the candidates by their divergence."""
    found = sorted(result.candidates, key=lambda c: c.divergence.value or 0.0)
    return [0, *(c.side for c in found)]


def _no_worse(result: FidelityResult, one: int, other: int) -> bool | None:
    """Whether one is as close as the other (True), closer (False), or neither for certain."""
    if 0 in (one, other):
        candidate = next(c for c in result.candidates if c.side == one + other)
        if candidate.distance is Distance.NONE:
            return True
        return False if one == 0 else None
    for d in result.differences:
        if {d.first, d.second} == {one, other}:
            if d.verdict is Nearer.NONE:
                return True
            nearer = {Nearer.FIRST: d.first, Nearer.SECOND: d.second}.get(d.verdict)
            return False if nearer == one else None
    return None


def _faster(one: Estimate, other: Estimate) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high
