"""How often 95 % intervals hold, and what the number of blocks costs.

python tests/performance/interval_coverage.py [DRAWS [PART...]]    (1,000 draws: some ten minutes)

Parts: cost, shipped, means, quantiles, shares, clumped; all if none is named.

Simulates runs on blocks (`tests/support/noisy_blocks.py`), lets the program's own code make the
intervals, and counts how often they hold the planted truth. Each cell has a seed of its own, all
are fixed.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from noisy_blocks import Noise, Tally, coverage

from bench.scenario.loading import load_scenario, scenario_names
from bench.scenario.schema import Scenario
from bench.stats import means

# The same to nine digits (tests/unit/stats/test_means.py), and ten times as fast.
means.beta_quantile = lambda p, a, b: float(special.betaincinv(a, b, p))  # type: ignore[assignment]

SHAPES = (
    [12] * 3, [25] * 3, [100] * 3, [333] * 3,
    [12] * 5, [50] * 5,
    [6] * 6, [12] * 6, [50] * 6,
    [12] * 10, [333] * 10,
    [40, 20, 10], [30, 24, 18, 12, 12, 24],
)  # fmt: skip
NOISES = (
    *(Noise(r * 0.2, 0.2, c) for r, c in product((0, 0.5, 1), (0, 0.8))),
    Noise(0.1, 0.2, 0.4),
    Noise(0.01, 0.02),
    *(Noise(b, 1.0, c) for b, c in product((0, 0.2), (0, 0.8))),
    *(Noise(r * 0.1, 0.1, c, slow=True) for r, c in product((0, 1), (0, 0.8))),
)
KINDS = (
    ("blocks alike", lambda n: n.ratio == 0 and not n.slow and n.within < 1),
    ("blocks differ half as much as requests", lambda n: n.ratio == 0.5),
    ("blocks differ as much as requests", lambda n: n.ratio == 1 and not n.slow),
    ("lognormal, sigma 1", lambda n: n.within == 1),
    ("one in ten slow (Pareto)", lambda n: n.slow),
)


def line(name: str, cells: list[Tally]) -> str:
    """One row: coverage over some cells of the grid."""
    given = [c for c in cells if c.given >= 0.2 * c.runs]
    if not given:
        return f"{name:42} not given"
    found = np.array([c.coverage for c in given])
    inside = ((found >= 0.93) & (found <= 0.98)).mean()
    share = sum(c.given for c in cells) / sum(c.runs for c in cells)
    # As .909 for .93: by more than chance (2.6 standard errors) above .98.
    wide = sum(c.coverage > 0.98 + 2.6 * np.sqrt(0.98 * 0.02 / c.given) for c in given)
    return (
        f"{name:42} {len(given):5} {found.min():8.3f} {np.median(found):8.3f} {found.max():8.3f}"
        f" {(found < 0.93).mean():8.0%} {inside:8.0%} {wide:8} {share:8.0%}"
    )


def grid(draws: int, names: Sequence[str], noises: Sequence[Noise] = NOISES) -> None:
    """Coverage over the whole grid, statistic by statistic."""
    cells: dict[str, list[tuple[Noise, list[int], Tally]]] = defaultdict(list)
    for i, sizes in enumerate(SHAPES):
        for j, noise in enumerate(noises):
            seed = 1000 * (i + 1) + 10 * j
            for name, tally in coverage(noise, sizes, draws, seed, which=names).items():
                cells[name].append((noise, sizes, tally))
    head = f"{'':42} cells   lowest   median  highest   <93 %   93-98 % too wide    given"
    for name, found in cells.items():
        print(f"\n{name}\n{head}")
        print(line("all", [t for *_, t in found]))
        for kind, holds in KINDS:
            some = [t for n, _, t in found if holds(n)]
            if some:
                print(line(f"  {kind}", some))
        for count in (3, 5, 6, 10):
            print(line(f"  {count} blocks", [t for _, s, t in found if len(s) == count]))
        given = [f for f in found if f[2].given >= 0.2 * f[2].runs]
        for noise, sizes, tally in sorted(given, key=lambda f: f[2].coverage)[:3]:
            print(f"    lowest: {tally.coverage:.3f} {sizes} {noise}")


def clumped(draws: int) -> None:
    """Slow requests (one in ten, Pareto) that follow each other inside a block: a known limit."""
    print("\nslow requests in clumps: coverage (share of the runs with an interval)")
    names = ("p50", "p90", "p95")
    print(f"{'blocks x requests':18} correlation" + "".join(f"{name:>14}" for name in names))
    for i, sizes in enumerate(SHAPES):
        for j, correlation in enumerate((0.4, 0.8)):
            noise = Noise(0.0, 0.1, correlation, slow=True, clumped=True)
            found = coverage(noise, sizes, draws, 50_000 + 100 * i + 10 * j, which=names)
            cells = (f"{t.coverage:.3f} ({t.given / t.runs:.0%})" for t in found.values())
            name = f"{len(sizes)} x {sizes[0]}"
            print(f"{name:18} {correlation:11}" + "".join(f"{cell:>14}" for cell in cells))


def shipped() -> Iterable[tuple[str, Scenario]]:
    """The scenarios that ship."""
    for name in scenario_names():
        yield name, load_scenario(name)


def shapes_of_scenarios(draws: int) -> None:
    """The shapes that ship, at typical noise: 1 % between and 2 % within, 5 % and 30 %."""
    print(f"\n{'Shipped scenario':18} {'shape':>8}  noise  " + "coverage and half width")
    for name, scenario in shipped():
        load = scenario.load.closed or scenario.load.open
        if load is None or load.requests is None or scenario.blocks < 2:
            continue
        sizes = [load.requests] * scenario.blocks
        for noise in (Noise(0.01, 0.02), Noise(0.05, 0.3)):
            found = coverage(noise, sizes, draws, which=("mean", "p50", "p90", "p95"))
            cells = " ".join(
                f"{k} {t.coverage:.3f} ±{np.expm1(t.width / 2):.1%}" if t.given else f"{k} -"
                for k, t in found.items()
            )
            shape, level = f"{len(sizes)}x{sizes[0]}", f"{noise.between:.0%}/{noise.within:.0%}"
            print(f"{name:18} {shape:>8}  {level:6} {cells}")


def cost(draws: int) -> None:
    """The same time in more, shorter blocks: 54 requests, three of each block to warm up."""
    print("\nBlocks x requests (and 3 to warm up), half width of the median and the mean")
    for noise in (Noise(0.01, 0.02), Noise(0.03, 0.04), Noise(0.05, 0.3)):
        for blocks in (2, 3, 4, 5, 6, 7, 9):
            n = 54 // blocks - 3
            found = coverage(noise, [n] * blocks, draws, which=("mean", "p50"))
            cells = "  ".join(
                f"{k} ±{np.expm1(t.width / 2):.1%} ({t.coverage:.3f})" for k, t in found.items()
            )
            print(f"{noise.between:.0%}/{noise.within:.0%}  {blocks} x {n:2}  {cells}")


if __name__ == "__main__":
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    parts = {
        "cost": lambda: cost(draws),
        "shipped": lambda: shapes_of_scenarios(draws),
        "means": lambda: grid(draws, ("mean", "ratio")),
        "quantiles": lambda: grid(draws, ("p50", "p90", "p95", "p99")),
        # Which values lie above a limit does not depend on how wide they spread.
        "shares": lambda: grid(draws, ("share 0.05", "share 0.2", "share 0.5"), NOISES[:7]),
        "clumped": lambda: clumped(draws),
    }
    for part in sys.argv[2:] or parts:
        parts[part]()
