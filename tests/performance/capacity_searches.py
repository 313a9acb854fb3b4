"""How well a search finds the limit: 30 seeded searches on each of eight simulated machines.

    python tests/performance/capacity_searches.py [--searches N] [--seed N] [--budget N]
        [--truth] [NAME...]

The true limit of each machine is from long simulations that share no code with the search
(`--truth` makes them anew, in some ten minutes; else `simulated_machines.MACHINES` has them).
`--budget N` ends each search after the time in which one user would make N requests.

Prints how many searches found the limit within 10 %, in how many the stated range held it, how many
were confirmed and how many of these are more than 5 % too high, and what they took. Without a
budget it fails unless at least 95 % are near, 95 % of the ranges hold the limit and at most 5 % of
the confirmed are too high; with one, unless the ranges hold it, and no search took longer.

Figures are in README.md beside this file; nothing was chosen on the default seeds.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from simulated_machines import MACHINES, Machine
from simulated_search import Searched, search_on

from bench.analysis.capacity.probe import SearchEnding

NEAR = 0.10
TOO_HIGH = 1.05


@dataclass(frozen=True)
class Tally:
    """Counts over some searches."""

    searches: int = 0
    near: int = 0
    covered: int = 0
    confirmed: int = 0
    confirmed_high: int = 0
    served_high: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(vars(self).values())

    def __str__(self) -> str:
        return (
            f"within 10 % {self.near}, range holds it {self.covered} of {self.searches}; "
            f"confirmed {self.confirmed}, of these over 5 % too high {self.confirmed_high}; "
            f"served load over 5 % too high {self.served_high}"
        )


def tally(searches: list[Searched], truth: float) -> Tally:
    found = [s.found for s in searches]
    high = [f.load is not None and f.load > TOO_HIGH * truth for f in found]
    confirmed = [f.ending is SearchEnding.CONFIRMED for f in found]
    return Tally(
        len(found),
        sum(f.best is not None and abs(f.best / truth - 1) <= NEAR for f in found),
        sum((f.low or 0) <= truth <= (f.high or math.inf) for f in found),
        sum(confirmed),
        sum(c and h for c, h in zip(confirmed, high, strict=True)),
        sum(high),
    )


def details(searches: list[Searched], truth: float) -> str:
    found = [s.found for s in searches]
    errors = np.array([f.best / truth - 1 for f in found if f.best is not None])
    widths = [(f.high or math.inf) / (f.low or 1e-9) for f in found]
    requests = [s.requests for s in searches]
    return (
        f"error {errors.mean():+.1%} sd {errors.std():.1%}; ends of the range differ by "
        f"{np.median(widths):.2f}; {np.mean(requests):.0f} requests (most {max(requests)}), "
        f"{np.mean([s.probes for s in searches]):.0f} probes"
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="only machines whose name has one of these in it")
    parser.add_argument("--searches", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7000, help="of the first search")
    parser.add_argument("--budget", type=float, default=math.inf)
    parser.add_argument("--truth", action="store_true")
    asked = parser.parse_args()
    total, in_time = Tally(), True
    for machine in MACHINES:
        if asked.names and not any(name in machine.name for name in asked.names):
            continue
        truth, budget_s = _truth(machine, asked.truth), asked.budget / machine.one_user_rate()
        seeds = range(asked.seed, asked.seed + asked.searches)
        searches = [search_on(machine, seed, budget_s) for seed in seeds]
        counts = tally(searches, truth)
        total, in_time = total + counts, in_time and max(s.seconds for s in searches) <= budget_s
        print(f"{machine.name}, {machine.promise}, limit {truth:.4g}/s: {counts}")
        longest = max(s.longest for s in searches)
        budget = "" if math.isinf(budget_s) else f"; longest probe {longest:.0%} of the budget"
        print(f"    {details(searches, truth)}{budget}", flush=True)
    print(f"all: {total}{'' if in_time else '; a search took longer than its budget'}")
    good = total.covered >= 0.95 * total.searches and in_time
    if math.isinf(asked.budget):
        good &= total.near >= 0.95 * total.searches
        good &= total.confirmed_high <= 0.05 * total.confirmed
    return 0 if good else 1


def _truth(machine: Machine, anew: bool) -> float:
    if not anew:
        return machine.truth
    limit, error = machine.true_limit()
    print(f"{machine.name}: {limit:.5g}, standard error {error:.2%}", flush=True)
    return limit


if __name__ == "__main__":
    sys.exit(main())
