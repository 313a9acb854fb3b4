"""What a fidelity run found: the content of fidelity.json."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.results.fidelity_files import Side
from bench.stats.estimate import Estimate

SCHEMA = 1


class Distance(StrEnum):
    """What is said of a candidate against the reference."""

    NONE = "no difference found"
    DIFFERS = "differs"


class Nearer(StrEnum):
    """What is said of two candidates."""

    FIRST = "first closer to the original"
    SECOND = "second closer to the original"
    NONE = "no difference found"
    OPEN = "inconclusive"


@dataclass(frozen=True, slots=True)
class Floor:
    """The reference against itself in another order: what arithmetic alone makes.

    Attributes:
        divergence: in nats.
        other_top: share of places with another likeliest token.
        places: how many were asked twice.
        estimate: the divergence with its 95 % interval.
        other_word: the share with its own.
    """

    divergence: float
    other_top: float
    places: int
    estimate: Estimate
    other_word: Estimate


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One candidate against the reference.

    Attributes:
        side: position in `FidelityResult.sides`.
        divergence: Kullback-Leibler divergence from the reference, nats a token, 95 % interval.
        bound: what it is at least, whatever lies outside the lists.
        other_top: share of places at which the likeliest token is another.
        spread: standard deviation of the log ratios in the tail.
        rest: mean probability outside the tokens that both list.
        asked: places. used: with a list from both.
        dropped: reason -> places.
        by_kind: kind of text -> divergence.
        large: so large that the estimate runs about a tenth low.
    """

    side: int
    divergence: Estimate
    bound: float
    other_top: Estimate
    spread: float
    rest: float
    asked: int
    used: int
    dropped: dict[str, int]
    by_kind: dict[str, Estimate]
    distance: Distance
    large: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Two candidates, paired by text.

    Attributes:
        first, second: positions in `FidelityResult.sides`.
        difference: divergence of the second minus that of the first.
        more_texts: how many more might decide; None if it is decided.
    """

    first: int
    second: int
    difference: Estimate
    verdict: Nearer
    more_texts: int | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether one side passes a gate.

    Attributes:
        side: position in `FidelityResult.sides`.
        gate: what is checked.
        failed: how many of `answers` do not pass.
        asked, came: question and answer: the first that failed, else the first.
    """

    side: int
    gate: str
    passed: bool
    failed: int
    answers: int
    asked: str
    came: str


@dataclass(frozen=True, slots=True)
class FidelityResult:
    """The whole.

    Attributes:
        identity: hash of texts and places; results compare only if they agree in it.
        sides: the reference first.
        texts: how many. kinds: kind -> how many.
        gates: what works at all; empty if nothing was asked.
        floor: None if no place of the reference could be asked twice.
    """

    schema: int
    run_id: str
    created_at: str
    identity: str
    simulated: bool
    sides: tuple[Side, ...]
    texts: int
    kinds: dict[str, int]
    floor: Floor | None
    candidates: tuple[Fidelity, ...]
    differences: tuple[Difference, ...]
    gates: tuple[GateResult, ...] = ()
