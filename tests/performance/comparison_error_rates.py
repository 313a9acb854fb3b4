"""How often comparisons are wrong: false alarms without a change, and how often a change is seen.

python tests/performance/comparison_error_rates.py [REPETITIONS]

Simulates requests on blocks (sb between blocks, sw within, on the log scale), makes block values
as the analysis does (a ratio of sums for the speed, a median for the time), and judges both as
primary metrics by the very code that `ab` uses. All seeds are fixed.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np

from bench.analysis.comparison.metric_verdicts import Rules, judge_metrics, measure_metric
from bench.analysis.comparison.result import Design, overall
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import BlockSummary, CaseSummary, Identity, RequestCounts
from bench.stats.sessions import session_noise
from bench.stats.welch import unpaired_effect

PRIMARY = ("decode_tok_per_s", "ttft_s.p50")
RULES = Rules(primary=PRIMARY)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of logs, requests a block, and a drift over the whole session."""

    name: str
    sb: float
    sw: float
    requests: int = 20
    drift: float = 0.0


LEVELS = (
    Noise("quiet GPU (0.3 %, 1 %)", 0.003, 0.01),
    Noise("typical (1 %, 2 %)", 0.01, 0.02),
    Noise("laptop (3 %, 4 %)", 0.03, 0.04),
    Noise("time under load (10 %, 30 %)", 0.10, 0.30, 50),
)
TYPICAL = LEVELS[1]
DRIFTING = Noise("typical, 3 % drift", 0.01, 0.02, drift=0.03)


def side(letter: str, rng: np.random.Generator, noise: Noise, pairs: int, change: float):
    """A case whose blocks stand where ABBA puts them."""
    blocks = []
    for pair in range(pairs):
        first = (letter == "a") == (pair % 2 == 0)
        index = 2 * pair + (0 if first else 1)
        drift = noise.drift * index / (2 * pairs)
        values = {}
        # The change is in the speed alone; the drift is in both.
        for metric, level in zip(PRIMARY, (np.log1p(change) + drift, -drift), strict=True):
            block = level + rng.normal(0, noise.sb)
            logs = block + rng.normal(0, noise.sw, noise.requests)
            values[metric] = block_value(metric, logs)
        blocks.append(
            BlockSummary(index, pair, 30.0 * index, noise.requests, values, pair, letter, index % 2)
        )
    return CaseSummary(
        id=letter,
        axes={},
        model="m",
        target="t",
        endpoint="chat",
        load={},
        options={},
        requests=RequestCounts(ok=noise.requests * pairs, failed=0),
        metrics={},
        identity=Identity(),
        blocks=tuple(blocks),
    )


def block_value(metric: str, logs: np.ndarray) -> float:
    """A ratio of sums for a speed (equal tokens, so the harmonic mean), a median for a time."""
    if metric.endswith("per_s"):
        return float(1 / np.mean(np.exp(-logs)))
    return float(np.median(np.exp(logs)))


def verdicts(
    noise: Noise, change: float, repetitions: int, pairs: int = 6, seed: int = 1
) -> Counter[Verdict]:
    """The overall verdict of many comparisons in pairs."""
    rng = np.random.default_rng([seed, *noise.name.encode()])
    found: Counter[Verdict] = Counter()
    for _ in range(repetitions):
        a, b = side("a", rng, noise, pairs, 0.0), side("b", rng, noise, pairs, change)
        measured = [measure_metric(m, a, b, Design.PAIRED, RULES, ()) for m in PRIMARY]
        found[overall(judge_metrics(measured, RULES))[0]] += 1
    return found


def wrong(found: Counter[Verdict]) -> float:
    """Share of comparisons that call a change."""
    return (found[Verdict.WORSE] + found[Verdict.BETTER]) / found.total()


def significant(noise: Noise, repetitions: int, pairs: int = 6, seed: int = 2) -> float:
    """Share with any primary metric significant after Holm, whatever its size."""
    rng = np.random.default_rng([seed, *noise.name.encode()])
    hits = 0
    for _ in range(repetitions):
        a, b = side("a", rng, noise, pairs, 0.0), side("b", rng, noise, pairs, 0.0)
        measured = [measure_metric(m, a, b, Design.PAIRED, RULES, ()) for m in PRIMARY]
        hits += any((m.p_corrected or 1.0) <= 0.05 for m in judge_metrics(measured, RULES))
    return hits / repetitions


def session_alarms(sessions: int | None, repetitions: int, seed: int = 3) -> float:
    """False alarms of separate runs whose sessions differ by 2 % and blocks by 1 %."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(repetitions):
        levels = rng.normal(0, 0.02, (sessions or 0) + 2)
        runs = np.exp(levels[:, None] + rng.normal(0, 0.01, (levels.size, 6)))
        history = np.exp(np.log(runs[2:]).mean(axis=1)) if sessions else None
        noise = None if history is None else session_noise(history)
        alarms += unpaired_effect(runs[0], runs[1], noise).p_value <= 0.05
    return alarms / repetitions


def main() -> None:
    """Print every figure."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"{repetitions} comparisons each, 6 pairs, two primary metrics (Holm)")
    print(f"{'no change':34} {'false alarm':>12} {'significant':>12} {'no change':>10}")
    for noise in (*LEVELS, DRIFTING):
        found = verdicts(noise, 0.0, repetitions)
        none = found[Verdict.NO_CHANGE] / found.total()
        print(
            f"{noise.name:34} {wrong(found):12.1%} {significant(noise, repetitions):12.1%} "
            f"{none:10.1%}"
        )
    print(f"\n{'true loss of 5 %':34} {'worse':>12}")
    for noise in (*LEVELS[:3], DRIFTING):
        found = verdicts(noise, -0.05, repetitions)
        print(f"{noise.name:34} {found[Verdict.WORSE] / found.total():12.1%}")
    print("\nseparate runs, sessions differ by 2 %, blocks by 1 %: false alarms")
    for sessions in (None, 5, 10, 30):
        print(f"  {sessions or 'no'} sessions known: {session_alarms(sessions, repetitions):.1%}")


if __name__ == "__main__":
    main()
