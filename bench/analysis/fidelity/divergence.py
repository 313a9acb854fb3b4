"""The divergence of a candidate from a reference over many places, with intervals over texts.

Below the listed tokens the candidate's probabilities are taken to be the reference's times e^-x
with x normal around 0 with one standard deviation s a text, as if the weights' rounding made
normal errors in the logits. Its divergence is then s^2 / 2 (log-normal mean), weighted with the
probability that lies there. s is fitted to the lower half of the lists, where a token that only the
reference lists is a censored value. One s for all texts would fall short where texts differ: by a
quarter where one in ten has 25 times the divergence of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.analysis.fidelity.position import Pair
from bench.stats.censored_spread import censored_spread
from bench.stats.estimate import Estimate
from bench.stats.means import ratio_of_sums, share
from bench.stats.paired import paired_effect

_SHORT, _MOST_SHORT = 0.175, 0.2
"""About what the estimate lacks of the truth, times s^2 of a text: for logits N(0, 3^2) 1 % at
s = 0.3, 8 % at 0.6 and 15 % at 1.0; half as much for N(0, 5^2), of models surer of their words."""
_LEAST_SEEN = 20
"""Listed tokens of a text that its own s takes; with fewer, that of all texts stands in."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Divergence:
    """What a candidate's places say together. Divergences are in nats, of the next token.

    Attributes:
        by_text: mean estimate of each text, in the order of `texts`.
        short: the share of the truth that each is known to fall short by, at most.
        texts: number of each text that has a place.
        bound: mean lower bound.
        other_top: share of places with another likeliest token.
        spread: s of the tail: of its square the mean, weighted with the rest.
        rest: mean probability of the reference outside the common tokens.
        places: how many there are.
    """

    by_text: Floats
    short: Floats
    texts: Ints
    bound: float
    other_top: Estimate
    spread: float
    rest: float
    places: int

    @property
    def estimate(self) -> Estimate:
        """Mean over texts with its interval."""
        return self.of_texts(np.ones(len(self.texts), bool))

    def of_texts(self, chosen: NDArray[np.bool_]) -> Estimate:
        """The same over some of the texts: Student's t on the log scale.

        The upper end lies further out by what the estimate is known to fall short, and where few
        texts are far above the others: by the skewness of the mean times t standard errors. The
        first term of Student's t's expansion says 1.4 at 95 % (Johnson, JASA 1978), but a sample
        shows too little of a long tail.
        """
        values = self.by_text[chosen]
        found = ratio_of_sums(values, np.ones(len(values)), np.arange(len(values)))
        high = found.high
        if found.value and found.low and high:
            high *= (found.value / found.low) ** _skewness_of_mean(values)
            high /= 1 - float(np.average(self.short[chosen], weights=values))
        return replace(
            found,
            high=high,
            method="" if high is None else f"t, {len(values)} texts",
            needs_unit="texts",
        )


def _skewness_of_mean(values: Floats) -> float:
    """That of a mean of such values, 0 if they have a long tail on the other side."""
    around = values - values.mean()
    square = float((around**2).mean())
    if square == 0:
        return 0.0
    skewness = float((around**3).mean()) / math.pow(square, 1.5)
    return max(skewness / math.sqrt(len(values)), 0.0)


def divergence_of(pairs: Sequence[Pair], texts: Sequence[int]) -> Divergence | None:
    """Estimate the divergence; None if there is no place."""
    if not pairs:
        return None
    numbers, groups = np.unique(np.asarray(texts, np.int64), return_inverse=True)
    bounds = np.array([p.bound for p in pairs])
    rests = np.array([p.rest for p in pairs])
    others = np.array([float(p.other_top) for p in pairs])
    counts = np.bincount(groups)
    other_top = share(others, np.ones(len(others)), groups)
    if other_top.needs:
        other_top = replace(other_top, needs_unit="texts with each outcome")
    squares = _squares(pairs, groups)
    rest_by_text = np.bincount(groups, rests) / counts
    bound_by_text = np.bincount(groups, bounds) / counts
    return Divergence(
        by_text=bound_by_text + rest_by_text * squares / 2,
        short=np.minimum(_SHORT * squares, _MOST_SHORT),
        texts=numbers,
        bound=float(bound_by_text.mean()),
        other_top=other_top,
        spread=math.sqrt(float(np.average(squares, weights=rest_by_text))),
        rest=float(rests.mean()),
        places=len(pairs),
    )


def _squares(pairs: Sequence[Pair], groups: Ints) -> Floats:
    """s^2 of each text."""
    observed = np.array([x for p in pairs for x in p.observed])
    at_least = np.array([x for p in pairs for x in p.at_least])
    of_seen = np.repeat(groups, [len(p.observed) for p in pairs])
    of_hidden = np.repeat(groups, [len(p.at_least) for p in pairs])
    n = int(groups.max()) + 1
    enough = np.bincount(of_seen, minlength=n) >= _LEAST_SEEN
    of_all = 0.0 if enough.all() else censored_spread(observed, at_least)
    spreads = [
        censored_spread(observed[of_seen == t], at_least[of_hidden == t]) if enough[t] else of_all
        for t in range(n)
    ]
    return np.square(spreads)


def mean_difference(values: Floats) -> Estimate:
    """Mean of one difference a text, with Student's t: places of one text share its fate."""
    n = len(values)
    if n < 2:
        return Estimate(float(values[0]) if n else None, needs=2, needs_unit="texts")
    effect = paired_effect(values)
    low, high = effect.log_interval()
    return Estimate(effect.log_ratio, low, high, method=f"t, {n} texts")
