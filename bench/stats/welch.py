"""The effect between two runs that were not paired: Welch on block means, plus sessions.

Two runs made at different times differ even when nothing was changed: another session, another
temperature, another memory layout. Blocks of one run cannot show that, only earlier runs of the
same thing can. So the spread between sessions enters as one more variance component:

    variance = s_a^2 / n_a  +  s_b^2 / n_b  +  2 s_session^2

with degrees of freedom after Satterthwaite (Biometrics Bulletin 1946). The factor 2 is there
because both runs are single sessions: it is `1 + 1/k` for a baseline of k = 1 session. (With the
factor `1 + 1/k` of a mean over the k earlier sessions, which is not what is compared here, the
false-alarm rate grows with k instead of falling.)
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from bench.stats.paired import LogEffect, logs_of
from bench.stats.sessions import SessionNoise


def unpaired_effect(
    baseline: ArrayLike, candidate: ArrayLike, sessions: SessionNoise | None = None
) -> LogEffect:
    """Welch's t on the logs of block values, with a between-session term if one is known.

    Args:
        baseline: one positive value a block; at least two.
        candidate: likewise.
        sessions: how much sessions differ (`bench.stats.sessions`), or None: the interval then
            holds within sessions only.

    Raises:
        ValueError: fewer than two blocks on a side, or a value that has no logarithm.
    """
    a, b = logs_of(baseline), logs_of(candidate)
    if min(a.size, b.size) < 2:
        raise ValueError(f"Welch needs at least 2 blocks a side, not {min(a.size, b.size)}")
    components = [(float(x.var(ddof=1)) / x.size, float(x.size - 1)) for x in (a, b)]
    if sessions is not None:
        components.append((2 * sessions.variance, sessions.df))
    variance, df = satterthwaite(components)
    return LogEffect(
        log_ratio=float(b.mean() - a.mean()),
        standard_error=math.sqrt(variance),
        df=df,
        n=int(min(a.size, b.size)),
    )


def satterthwaite(components: list[tuple[float, float]]) -> tuple[float, float]:
    """Sum of variance estimates and its approximate degrees of freedom.

    Args:
        components: (variance, degrees of freedom), one a component.
    """
    total = sum(v for v, _ in components)
    if total == 0:
        return 0.0, sum(d for _, d in components)
    return total, total**2 / sum(v**2 / d for v, d in components)
