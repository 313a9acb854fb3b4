"""How often the interval of a divergence holds the truth, with the shipped numbers of texts.

    python tests/performance/fidelity_coverage.py [DRAWS]     (2,000 draws: some 10 minutes)

Populations of 1,000 texts of 8 places with planted divergences: texts alike, places of a text
alike, texts that differ much, and a few texts with a very large divergence. Each draw takes as many
texts as a default run has, or as `--quick` has. Printed for each: how often the interval holds the
mean of the whole population, how often that lies above and below it, and the half-width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from planted_lists import planted

from bench.analysis.fidelity.divergence import divergence_of
from bench.analysis.fidelity.position import pair
from bench.scenario.word_ends import PLACES, QUICK_TEXTS, TEXTS

POPULATION, VOCABULARY = 1_000, 20_000
Draw = np.random.Generator


def differing(sd: float) -> Callable[[Draw], np.ndarray]:
    """Texts whose spreads differ by a lognormal factor; places of one text have one spread."""
    return lambda draw: np.repeat(np.exp(draw.normal(0, sd, POPULATION)), PLACES)


def correlated(sd: float, of_place: float, next_to: float) -> Callable[[Draw], np.ndarray]:
    """Besides, a factor for each place, like that of the place before it (AR(1))."""

    def factors(draw: Draw) -> np.ndarray:
        steps = draw.normal(0, 1, (POPULATION, PLACES))
        for i in range(1, PLACES):
            steps[:, i] = next_to * steps[:, i - 1] + (1 - next_to**2) ** 0.5 * steps[:, i]
        return (np.exp(draw.normal(0, sd, POPULATION))[:, None] * np.exp(of_place * steps)).ravel()

    return factors


def few(share: float, times: float) -> Callable[[Draw], np.ndarray]:
    """A few texts whose spread is many times as large, so the divergence that squared."""

    def factors(draw: Draw) -> np.ndarray:
        usual = np.exp(draw.normal(0, 0.14, POPULATION))
        chosen = np.arange(POPULATION) < share * POPULATION
        return np.repeat(np.where(chosen, times * usual, usual), PLACES)

    return factors


POPULATIONS = (
    ("texts differ as measured (28 %), s = 0.1", 0.1, differing(0.14)),
    ("the same, s = 0.3", 0.3, differing(0.14)),
    ("the same, s = 0.6", 0.6, differing(0.14)),
    ("places differ by 60 %, neighbours alike (.5)", 0.3, correlated(0.14, 0.3, 0.5)),
    ("the same, neighbours very alike (.9)", 0.3, correlated(0.14, 0.3, 0.9)),
    ("texts differ by 90 %", 0.2, differing(0.4)),
    ("texts differ by 240 %", 0.1, differing(0.7)),
    ("1 text in 4 has 4 times the divergence", 0.2, few(0.25, 2.0)),
    ("1 text in 10 has 25 times the divergence", 0.1, few(0.1, 5.0)),
    ("1 text in 20 has 25 times the divergence", 0.1, few(0.05, 5.0)),
    ("1 text in 50 has 100 times the divergence", 0.1, few(0.02, 10.0)),
)


def main() -> int:
    """Print one line a population and number of texts."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    numbers = np.repeat(np.arange(POPULATION), PLACES)
    for name, spread, factors in POPULATIONS:
        draw = np.random.default_rng(5)
        data = planted(spread * factors(draw), vocabulary=VOCABULARY, seed=6)
        pairs = [pair(a, b) for a, b in zip(data.reference, data.candidate, strict=True)]
        # The estimate of a text does not depend on the others, so all are made once.
        whole = divergence_of(pairs, numbers)
        truth = float(data.truth.mean())
        for texts in (TEXTS, QUICK_TEXTS):
            ends = []
            for _ in range(draws):
                chosen = draw.integers(0, POPULATION, texts)
                some = replace(whole, by_text=whole.by_text[chosen], short=whole.short[chosen])
                found = replace(some, texts=chosen).estimate
                ends.append((found.low, found.value, found.high))
            low, value, high = (
                np.array([np.nan if e is None else e for e in column])
                for column in zip(*ends, strict=True)
            )
            given = np.isfinite(low)
            below, above = (truth < low[given]).mean(), (truth > high[given]).mean()
            print(
                f"{name:46} {texts:3} texts: {1 - below - above:.3f} hold, truth below {below:.3f},"
                f" above {above:.3f}; half-width {np.median((high - low)[given] / 2 / truth):.0%},"
                f" estimate / truth {value.mean() / truth:.3f}, given {given.mean():.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
