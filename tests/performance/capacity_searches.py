"""How well a search finds the limit: 20 seeded searches on each of six simulated machines.

    python tests/performance/capacity_searches.py [--requests N] [--truth] [--searches N]

The true limit of each machine is from simulations of 300,000 requests (`--truth` makes them anew,
which takes some ten minutes; otherwise the figures below are taken). Prints how many searches found
it within 10 %, in how many the stated range covered it, and what they took. Fails if a machine is
found fewer than 18 times of 20, or all together less than 95 %, or covered less than 90 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from simulated_search import Searched, Server, search_on, service_of

from bench.analysis.capacity.search import SearchSettings

MACHINES = (
    (Server("gpu-12gb, 4 slots", service_of("gpu-12gb", 4), "ttft_s.p95<=1"), 0.5162),
    (Server("gpu-12gb, 1 slot", service_of("gpu-12gb", 1), "ttft_s.p95<=4"), 0.1193),
    (Server("gpu-80gb, 16 slots", service_of("gpu-80gb", 16), "ttft_s.p95<=1.5"), 0.9478),
    (Server("gpu-80gb, 8 slots", service_of("gpu-80gb", 8), "tpot_s.p95<=0.05"), 0.5530),
    (Server("laptop-cpu, 4 slots", service_of("laptop-cpu", 4), "ttft_s.p50<=8"), 0.06976),
    (Server("test, 4 slots", service_of("test", 4), "ttft_s.p95<=0.1", (250, 25)), 14.06),
)
NEAR = 0.10


def told(server: Server, truth: float, searches: list[Searched]) -> tuple[int, int]:
    """Print what was found on one machine; how many were near, and how many covered it."""
    found = [s.found for s in searches]
    errors = np.array([f.best / truth - 1 for f in found if f.best is not None])
    near = int(np.sum(np.abs(errors) <= NEAR))
    covers = sum((f.low or 0) <= truth <= (f.high or math.inf) for f in found)
    widths = [(f.high or math.inf) / (f.low or 1e-9) for f in found]
    requests = [s.requests for s in searches]
    endings = ", ".join(f"{n} {e}" for e, n in Counter(str(f.answer.ending) for f in found).items())
    print(
        f"{server.name:20} {server.promise:16} limit {truth:.4g}/s: within 10 % {near}, covered "
        f"{covers} of {len(found)}; error {errors.mean():+.1%} sd {errors.std():.1%}; range's ends "
        f"differ by {np.median(widths):.2f}; {np.mean(requests):.0f} requests (most "
        f"{max(requests)}), {np.mean([s.probes for s in searches]):.0f} probes; {endings}",
        flush=True,
    )
    return near, covers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=float, default=math.inf, help="end a search after")
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--truth", action="store_true")
    asked = parser.parse_args()
    figures = []
    for server, known in MACHINES:
        truth = server.true_limit() if asked.truth else known
        one = server.one_user_rate()
        settings = SearchSettings(start=one / 2, ceiling=20 * one)
        found = [search_on(server, s, settings, asked.requests) for s in range(asked.searches)]
        figures.append(told(server, truth, found))
    total = asked.searches * len(MACHINES)
    near, covers = (sum(column) for column in zip(*figures, strict=True))
    print(f"all: within 10 % {near} of {total}, covered {covers} of {total}")
    least = min(n for n, _ in figures)
    good = least >= 0.9 * asked.searches and near >= 0.95 * total and covers >= 0.9 * total
    return 0 if good or asked.requests < math.inf else 1


if __name__ == "__main__":
    sys.exit(main())
