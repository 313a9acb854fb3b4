"""How often two runs made separately are called changed, and whether a plan keeps its promise.

python tests/performance/session_error_rates.py [REPETITIONS]

First, two runs with earlier sessions of the same identity (sessions differ by 1 %, blocks by 1 %),
judged by the very code that `compare` uses. Machines with two states (bimodal): in a share of the
sessions everything is 10 % slower, and that is no change. A slow night: the candidate is 10 % (or
5 %) slower for good, and up to three sessions before it were so already. A verdict is firm if it is
not only indicative.

Then plans: a pilot says how many pairs show a loss of 5 %, the pairs are run, and the loss should
be seen in 80 % of the cases, over pilots. All seeds are fixed.
"""

from __future__ import annotations

import sys

import numpy as np

from bench.analysis.comparison.metric_verdicts import Rules, judge_metrics, measure_metric
from bench.analysis.comparison.result import Design
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import BlockSummary, CaseSummary, Identity, RequestCounts
from bench.stats.paired import paired_effect
from bench.stats.power import noise_of, pairs_needed, planned_pairs

METRIC = "decode_tok_per_s"
RULES = Rules(primary=(METRIC,))
BLOCKS = 6
HISTORIES = (5, 7, 10, 20, 40)
SLOWER = 0.10
LOSS = 0.05


def case(values: np.ndarray) -> CaseSummary:
    """A case with one metric, whose blocks have these values."""
    blocks = [BlockSummary(i, i, 30.0 * i, 12, {METRIC: float(v)}) for i, v in enumerate(values)]
    return CaseSummary(
        id="c",
        axes={},
        model="m",
        target="t",
        endpoint="chat",
        load={},
        options={},
        requests=RequestCounts(ok=12 * len(blocks), failed=0),
        metrics={},
        identity=Identity(),
        blocks=tuple(blocks),
    )


def called(levels: np.ndarray, rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """Of sessions in order of time, the last two being compared: (worse, changed, firmly so)."""
    runs = np.exp(levels[:, None] + rng.normal(0, 0.01, (levels.size, BLOCKS)))
    earlier = np.exp(np.log(runs[1:-1]).mean(axis=1)).tolist()
    measured = measure_metric(
        METRIC, case(runs[0]), case(runs[-1]), Design.SEPARATE, RULES, (), lambda _c, _m: earlier
    )
    (row,) = judge_metrics([measured], RULES)
    changed = row.verdict in (Verdict.WORSE, Verdict.BETTER)
    return row.verdict is Verdict.WORSE, changed, changed and not row.indicative


def sessions(
    earlier: int, repetitions: int, rare: float = 0.0, loss: float = 0.0, slow: int = 0
) -> np.ndarray:
    """Shares of (worse, changed, firmly changed); `slow` sessions before are slow already."""
    rng = np.random.default_rng([7, earlier, round(100 * rare), round(100 * loss), slow])
    counts = np.zeros(3)
    for _ in range(repetitions):
        levels = rng.normal(0, 0.01, earlier + slow + 2)
        levels -= SLOWER * (rng.random(levels.size) < rare)
        levels[earlier + 1 :] += np.log1p(-loss)
        counts += called(levels, rng)
    return counts / repetitions


def kept_power(pilot_blocks: int, sb: float, sw: float, paired: bool, repetitions: int):
    """(share of losses seen with as many pairs as planned, median number of pairs)."""
    rng = np.random.default_rng([8, pilot_blocks, paired, round(1000 * sb)])
    requests, seen, planned = 12, 0, []

    def block(n: int) -> np.ndarray:
        return rng.normal(0, sb, n) + rng.normal(0, sw, (requests, n)).mean(axis=0)

    for _ in range(repetitions):
        if paired:
            pair_sd = float((block(pilot_blocks) - block(pilot_blocks)).std(ddof=1))
        else:
            logs = rng.normal(0, sb, (pilot_blocks, 1)) + rng.normal(
                0, sw, (pilot_blocks, requests)
            )
            pair_sd = noise_of(list(np.exp(logs))).pair_sd
        needed = pairs_needed(pair_sd, LOSS, df=pilot_blocks - 1)
        if needed is None:
            continue
        pairs = planned_pairs(needed)
        planned.append(pairs)
        effect = paired_effect(block(pairs) + np.log1p(-LOSS) - block(pairs))
        seen += effect.p_value <= 0.05 and effect.log_ratio < 0
    return seen / repetitions, float(np.median(planned))


def main() -> None:
    """Print every figure."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{n} comparisons each. No change, by earlier sessions: called (firmly)")
    print(f"{'':34}" + "".join(f"{h:>16}" for h in HISTORIES))
    for rare in (0.0, 0.05, 0.1, 0.2, 0.3):
        name = f"{rare:.0%} of sessions 10 % slower" if rare else "sessions alike"
        found = [sessions(h, n, rare=rare) for h in HISTORIES]
        cells = "".join(f"{f'{c:.1%} ({f:.1%})':>16}" for _, c, f in found)
        print(f"{name:34}{cells}", flush=True)
    print("\nA slow night: called worse, by earlier sessions (firmly)")
    for loss in (0.10, 0.05):
        for slow in (0, 1, 3):
            found = [sessions(h, n, loss=loss, slow=slow) for h in HISTORIES]
            cells = "".join(f"{f'{w:.0%} ({f:.0%})':>16}" for w, _, f in found)
            print(f"{f'{loss:.0%} slower, {slow} such before':34}{cells}", flush=True)
    print("\nPlans for a loss of 5 %, promise 80 %: seen, and median pairs")
    for paired in (True, False):
        for sb, sw in ((0.01, 0.02), (0.03, 0.04), (0.06, 0.1)):
            cells = []
            for blocks in (3, 6, 12):
                power, pairs = kept_power(blocks, sb, sw, paired, n)
                cells.append(f"{blocks:4} blocks {power:4.0%}, {pairs:4.0f} pairs")
            kind = "in pairs" if paired else "one side"
            print(f"pilot {kind}, noise {sb:.0%}/{sw:.0%}: " + ";".join(cells), flush=True)


if __name__ == "__main__":
    main()
