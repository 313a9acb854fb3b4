"""From what the sides said at each place to divergences, verdicts and differences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from bench.analysis.fidelity.divergence import Divergence, divergence_of, mean_difference
from bench.analysis.fidelity.gates import judge_gates
from bench.analysis.fidelity.position import Pair, check_tokenizer, pair
from bench.analysis.fidelity.result import (
    SCHEMA,
    Difference,
    Distance,
    Fidelity,
    FidelityResult,
    Floor,
    Nearer,
)
from bench.errors import MeasurementInvalid
from bench.results.fidelity_files import AGAIN, REFERENCE, FidelitySetup, GateRecord, PlaceRecord

Said = Mapping[tuple[int, int], PlaceRecord]
"""(text, cut) -> what a side said there."""

FLOORS = 3.0
"""A divergence within so many noise floors is no difference."""
LEAST_FLOOR = 1e-6
"""What comes out for two equal lists."""
NEGLIGIBLE = 0.1
"""Two candidates whose divergences differ by less than this share of the larger are alike."""
_LARGE_SPREAD, _LARGE_IN_TAIL = 0.9, 0.5
"""From these on the estimate is about a tenth low: the second where most lies beyond the lists."""
_NO_TOKEN = "no token in common"
NOT_ASKED = "not asked"
"""In a run that was broken off."""


def analyse(
    setup: FidelitySetup, records: Sequence[PlaceRecord], gates: Sequence[GateRecord] = ()
) -> FidelityResult:
    """Judge what was measured.

    Raises:
        NotComparable: a candidate has another tokenizer.
        MeasurementInvalid: no place has a list of both.
    """
    said = by_side(records)
    reference = said.get(REFERENCE, {})
    floor = _floor(reference, said.get(AGAIN, {}))
    found, candidates = {}, []
    for side in range(1, len(setup.sides)):
        other = said.get(side, {})
        check_tokenizer(setup.sides[0].label, setup.sides[side].label, reference, other)
        pairs, texts, dropped = _pairs(setup, reference, other)
        together = divergence_of(pairs, texts)
        if together is None:
            reasons = ", ".join(f"{why}: {n}" for why, n in dropped.items())
            raise MeasurementInvalid(
                f"{setup.sides[side].label}: no place has a list of both models ({reasons})"
            )
        found[side] = together
        candidates.append(_fidelity(setup, side, together, dropped, floor))
    return FidelityResult(
        schema=SCHEMA,
        run_id=setup.id,
        created_at=setup.created_at,
        identity=setup.identity,
        simulated=setup.simulated,
        sides=setup.sides,
        texts=len(setup.texts),
        kinds=dict(Counter(text.kind for text in setup.texts)),
        floor=floor,
        candidates=tuple(candidates),
        differences=tuple(
            difference(a, found[a], b, found[b], floor) for a, b in combinations(found, 2)
        ),
        gates=judge_gates(gates),
    )


def by_side(records: Sequence[PlaceRecord]) -> dict[int, dict[tuple[int, int], PlaceRecord]]:
    """The records of each side by place."""
    said: dict[int, dict[tuple[int, int], PlaceRecord]] = {}
    for r in records:
        said.setdefault(r.side, {})[r.text, r.cut] = r
    return said


def difference(
    first: int, a: Divergence, second: int, b: Divergence, floor: Floor | None
) -> Difference:
    """Compare two candidates, paired by the texts that both have."""
    _, in_a, in_b = np.intersect1d(a.texts, b.texts, return_indices=True)
    found = mean_difference(b.by_text[in_b] - a.by_text[in_a])
    if found.value is None or found.low is None or found.high is None:
        return Difference(first, second, found, Nearer.OPEN, 1)
    larger = max(a.by_text.mean(), b.by_text.mean())
    margin = max(least(floor), NEGLIGIBLE * float(larger))
    if found.low > 0 and found.value > least(floor):
        return Difference(first, second, found, Nearer.FIRST)
    if found.high < 0 and -found.value > least(floor):
        return Difference(first, second, found, Nearer.SECOND)
    if -margin < found.low and found.high < margin:
        return Difference(first, second, found, Nearer.NONE)
    gap = abs(found.value)
    target = gap if gap > margin / 2 else margin - gap
    half = (found.high - found.low) / 2
    n = len(in_a)
    more = max(1, math.ceil(n * (half / target) ** 2) - n)
    return Difference(first, second, found, Nearer.OPEN, more)


def _fidelity(
    setup: FidelitySetup, side: int, found: Divergence, dropped: dict[str, int], floor: Floor | None
) -> Fidelity:
    estimate = found.estimate
    kinds = np.array([setup.texts[t].kind for t in found.texts])
    lower = estimate.value if estimate.low is None else estimate.low
    same = lower is None or lower <= least(floor)
    return Fidelity(
        side=side,
        divergence=estimate,
        bound=found.bound,
        other_top=found.other_top,
        spread=found.spread,
        rest=found.rest,
        asked=sum(len(text.cuts) for text in setup.texts),
        used=found.places,
        dropped=dropped,
        by_kind={str(kind): found.of_texts(kinds == kind) for kind in dict.fromkeys(kinds)},
        distance=Distance.NONE if same else Distance.DIFFERS,
        large=found.spread > (_LARGE_IN_TAIL if found.rest > 0.5 else _LARGE_SPREAD),
    )


def least(floor: Floor | None) -> float:
    """What a difference has to exceed, in nats."""
    return FLOORS * max(floor.divergence if floor else 0.0, LEAST_FLOOR)


def _floor(reference: Said, again: Said) -> Floor | None:
    both = [(p, reference[p], again[p]) for p in again if _otherwise(reference, p)]
    pairs, texts = [], []
    for (text, _), first, second in both:
        found = pair(first.tokens, second.tokens)
        if found is not None:
            pairs.append(found)
            texts.append(text)
    together = divergence_of(pairs, texts)
    if together is None:
        return None
    return Floor(
        divergence=float(together.by_text.mean()),
        other_top=together.other_top.value or 0.0,
        places=together.places,
        estimate=together.estimate,
        other_word=together.other_top,
    )


def _otherwise(reference: Said, place: tuple[int, int]) -> bool:
    """Whether asking again, longest prefix first, made the server compute otherwise.

    Then it finds all but the last token in its cache. At a place one token after another it did so
    the first time, too: the same computation gives the same bits, and shows no noise.
    """
    if place not in reference:
        return False
    before = max((p for p in reference if p[0] == place[0] and p < place), default=None)
    if before is None:
        return True
    counts = reference[before].prompt_tokens, reference[place].prompt_tokens
    return counts[0] is None or counts[1] is None or counts[1] - counts[0] > 1


def _pairs(
    setup: FidelitySetup, reference: Said, other: Said
) -> tuple[list[Pair], list[int], dict[str, int]]:
    """What both said at each place, its text, and why places were left out."""
    pairs, texts = [], []
    dropped: Counter[str] = Counter()
    for number, text in enumerate(setup.texts):
        for cut in text.cuts:
            a, b = reference.get((number, cut)), other.get((number, cut))
            if a is None or b is None:
                dropped[NOT_ASKED] += 1
                continue
            found = pair(a.tokens, b.tokens)
            if found is None:
                dropped[a.missing or b.missing or _NO_TOKEN] += 1
                continue
            pairs.append(found)
            texts.append(number)
    return pairs, texts, dict(dropped)
