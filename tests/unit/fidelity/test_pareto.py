"""Which models another one beats in speed and fidelity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.analysis.fidelity.pareto import Dominated, dominated, front
from bench.analysis.fidelity.result import (
    Difference,
    Distance,
    Fidelity,
    FidelityResult,
    Nearer,
)
from bench.report.fidelity.wording import dominated_sentence
from bench.report.page import plain
from bench.results.fidelity_files import Side
from bench.stats.estimate import Estimate

NAMES = ("fp16", "q8_0", "q4_K_M", "q4_0")
DIVERGENCES = (0.002, 0.05, 0.1)


def candidate(side, divergence, distance=Distance.DIFFERS):
    about = Estimate(divergence, divergence * 0.9, divergence * 1.1)
    return Fidelity(side, about, 0.0, about, 0.1, 0.1, 480, 480, {}, {}, distance, False)


def result(verdict=Nearer.FIRST, nearest=Distance.DIFFERS):
    candidates = [candidate(i + 1, d) for i, d in enumerate(DIVERGENCES)]
    candidates[0] = replace(candidates[0], distance=nearest)
    differences = [
        Difference(a, b, Estimate(0.05, 0.04, 0.06), verdict) for a, b in ((1, 2), (1, 3), (2, 3))
    ]
    return FidelityResult(
        schema=1,
        run_id="r",
        created_at="2026-01-01T00:00:00+00:00",
        identity="i",
        simulated=False,
        sides=tuple(Side(n, n, "http://x") for n in NAMES),
        texts=40,
        kinds={"en": 40},
        floor=None,
        candidates=tuple(candidates),
        differences=tuple(differences),
    )


def speeds(*values, width=0.02):
    return {i: Estimate(v, v * (1 - width), v * (1 + width)) for i, v in enumerate(values) if v}


def test_faster_and_closer_dominates():
    given = speeds(20, 35, 52, 44)
    found = dominated(result(), given)
    assert found == (Dominated(3, 2, alike=False),)
    said = plain(dominated_sentence(result(), found[0], given))
    assert said.startswith("q4_0 is dominated: q4_K_M is faster (52")
    assert said.endswith("and closer to the original.")


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (speeds(20, 35, 45, 44, width=0.05), Nearer.FIRST),  # faster by the values alone
        (speeds(20, 35, 52, 44), Nearer.OPEN),
        (speeds(20, 35, 0, 44), Nearer.FIRST),  # no speed is known
        (speeds(20, 35, 44, 52), Nearer.FIRST),
    ],
)
def test_what_is_not_certain_dominates_nothing(given, verdict):
    assert dominated(result(verdict), given) == ()


def test_as_close_and_faster_dominates():
    found = dominated(result(Nearer.NONE), speeds(20, 35, 52, 44))
    assert Dominated(3, 2, alike=True) in found
    said = plain(dominated_sentence(result(), found[-1], speeds(20, 35, 52, 44)))
    assert "no further from the original" in said


def test_the_reference_is_dominated_only_by_what_cannot_be_told_from_it():
    found = dominated(result(nearest=Distance.NONE), speeds(20, 35, 52, 60))
    assert found == (Dominated(0, 1, alike=True),)
    said = plain(dominated_sentence(result(), found[0], speeds(20, 35, 52, 60)))
    assert said.startswith("fp16 is dominated: q8_0 is faster")
    assert "cannot be distinguished from it" in said


def test_a_slow_candidate_is_dominated_by_the_reference():
    found = dominated(result(), speeds(40, 35, 52, 60))
    assert found == (Dominated(1, 0, alike=False),)


def test_the_front_goes_from_the_fastest_to_the_closest():
    assert front(result(), speeds(20, 35, 52, 44)) == (2, 1, 0)
    assert front(result(), speeds(60, 35, 52, 44)) == (0,)
    assert front(result(), speeds(0, 35, 52, 60)) == (3, 2, 1)
