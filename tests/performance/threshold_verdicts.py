"""How often a threshold that holds exactly is called broken beyond doubt, by too few requests.

The limit is the true percentile of all blocks together, so every "not met" is false. Noise between
blocks is given as a multiple of that inside them; inside a block requests hang together.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from bench.stats.broken_quantile import broken_beyond_doubt

SHAPES = ((1, 30), (3, 10), (5, 10), (3, 23), (6, 12), (10, 7))
NOISE = (0.0, 0.5, 1.0)
CORRELATIONS = (0.0, 0.8)


def false_verdicts(
    p: float, blocks: int, requests: int, noise: float, correlation: float, draws: int, seed: int
) -> float:
    """Share of the draws in which a percentile that keeps its limit is called broken."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(draws, blocks, requests))
    for i in range(1, requests):
        fresh = math.sqrt(1 - correlation**2) * values[:, :, i]
        values[:, :, i] = correlation * values[:, :, i - 1] + fresh
    values += noise * rng.normal(size=(draws, blocks, 1))
    limit = NormalDist(sigma=math.hypot(1, noise)).inv_cdf(p)
    block = np.repeat(np.arange(blocks), requests)
    found = [broken_beyond_doubt(v.ravel() > limit, block, 1 - p) for v in values]
    return float(np.mean(found))


def main() -> None:
    """Prints the table."""
    print("called broken, though it holds (p95; rows: blocks x requests)")
    head = [f"noise {n:g}, corr {c:g}" for n in NOISE for c in CORRELATIONS]
    print(f"{'':10}" + "".join(f"{h:>20}" for h in head))
    for blocks, requests in SHAPES:
        cells = [
            false_verdicts(0.95, blocks, requests, n, c, 2000, 7)
            for n in NOISE
            for c in CORRELATIONS
        ]
        print(f"{f'{blocks} x {requests}':10}" + "".join(f"{c:>20.1%}" for c in cells))


if __name__ == "__main__":
    main()
