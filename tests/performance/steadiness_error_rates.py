"""How often a steady case is called unsteady, and how often a step or a drift is found.

python tests/performance/steadiness_error_rates.py [REPETITIONS]

Six correlated metrics a case, block noise 1 %, requests 2 % (sd of logs). The first table is of
steady cases: the promise is at most 5 % in every cell (what chance adds to that is shown). The
second plants a step at a random place in the middle three fifths, or a drift over the whole case.
All seeds are fixed. Exits with 1 where the promise is broken.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from block_noise import blocks_of, planted

from bench.stats.steadiness import find_changes

SHAPES = ((3, 12), (3, 25), (3, 24), (5, 12), (6, 12), (6, 25), (10, 12), (3, 333))
STEADY = {
    "independent": {"phi": 0.0},
    "phi .4": {"phi": 0.4},
    "phi .8": {"phi": 0.8},
    "sb = 3 sw": {"sb": 0.06},
    "heavy tails": {"heavy": True},
    "heavy, .6": {"heavy": True, "phi": 0.6},
}
PLANTED = (("step", 0.03), ("step", 0.05), ("step", 0.1), ("drift", 0.05), ("drift", 0.1))
ALLOWED = 0.05


def labelled(
    shape: tuple[int, int],
    repetitions: int,
    change: tuple[str, float] | None = None,
    **noise: float,
) -> float:
    """Share of cases that are called unsteady."""
    rng = np.random.default_rng([20261129, *shape])
    total = shape[0] * shape[1]
    hits = 0
    for _ in range(repetitions):
        values = blocks_of(rng, *shape, **noise)
        if change is not None:
            at = int(rng.integers(total // 5, 4 * total // 5)) if change[0] == "step" else None
            values = values + planted(shape, at=at, size=-change[1])
        hits += bool(find_changes(list(values), np.median(values, axis=1)))
    return hits / repetitions


def main() -> int:
    """Print both tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    bound = ALLOWED + 2.6 * math.sqrt(ALLOWED * (1 - ALLOWED) / repetitions)
    broken = False
    print(f"steady cases called unsteady, {repetitions} each (chance allows up to {bound:.1%})")
    print(f"{'blocks x requests':18}" + "".join(f"{name:>13}" for name in STEADY))
    for shape in SHAPES:
        found = [labelled(shape, repetitions, **noise) for noise in STEADY.values()]
        broken |= max(found) > bound
        name = f"{shape[0]} x {shape[1]}"
        print(f"{name:18}" + "".join(f"{share:13.1%}" for share in found), flush=True)
    fewer = max(repetitions // 4, 50)
    print(f"\nplanted changes that are found, {fewer} each, independent requests")
    heads = [f"{kind} {size:.0%}" for kind, size in PLANTED]
    print(f"{'blocks x requests':18}" + "".join(f"{head:>13}" for head in heads))
    for shape in SHAPES:
        found = [labelled(shape, fewer, change) for change in PLANTED]
        name = f"{shape[0]} x {shape[1]}"
        print(f"{name:18}" + "".join(f"{share:13.0%}" for share in found), flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
