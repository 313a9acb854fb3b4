"""Bias and coverage of open-loop percentiles, and what settling is worth.

    python tests/performance/open_loop_settling.py [--draws N] [--settle SHARE]
        [--load SHARE] [--cv CV] [--seed N]      (1,000 draws of all: half an hour)

M/G/k queues are simulated from empty, in blocks that leave the first part out as a run with that
share of `load.open.settle` does. The truth is the quantile of a long run. "raw" is the mean error
of the plain sample percentile; "given" how often the percentile would be shown, and of those the
mean error and how often the 95 % interval holds the truth. The bar: where more than a twentieth is
given, p50 and p95 within 5 %, coverage at least 90 %. "chance" is two standard errors of the mean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from many_queues import as_shown, first_texts

QUANTILES = (0.5, 0.95)
SLOTS, SERVICE_S = 4, 5.0


def truth(load: float, cv: float, rng: np.random.Generator) -> NDArray[np.float64]:
    long, _ = first_texts(load, 20_000, 400, rng, SLOTS, SERVICE_S, cv)
    return np.quantile(long[:, 5_000:], QUANTILES)


def row(
    load: float,
    cv: float,
    blocks: int,
    n: int,
    share: float,
    draws: int,
    true: NDArray[np.float64],
    seed: int,
) -> str:
    rng = np.random.default_rng([seed, round(load * 100), blocks, n, round(share * 100)])
    left_out = int(n * share)
    waits, work = first_texts(load, n + left_out, draws * blocks, rng, SLOTS, SERVICE_S, cv)
    queues = (draws, blocks, n + left_out)
    waits, work = waits.reshape(queues), work.reshape(queues)
    cells = []
    for p, real in zip(QUANTILES, true, strict=True):
        raw = np.quantile(waits[:, :, left_out:].reshape(draws, -1), p, axis=1) / real - 1
        errors, covered = [], []
        for series, times in zip(waits, work, strict=True):
            found = as_shown(series, times, left_out, p, load, SLOTS, SERVICE_S)
            if found is not None and found.low is not None and found.high is not None:
                errors.append(found.value / real - 1)
                covered.append(found.low <= real <= found.high)
        given = len(errors) / draws
        said = (
            f"{np.mean(errors):+6.1%} (chance {2 * np.std(errors) / len(errors) ** 0.5:5.1%}) "
            f"{np.mean(covered):5.1%}"
            if errors
            else f"{'-':>6} {'-':>5}"
        )
        cells.append(f"p{p * 100:.0f} raw {raw.mean():+6.1%} given {given:4.0%} {said}")
    return f"{load:4.0%} cv {cv:.1f} {blocks} x {n:<6} settle {share:4.0%}  " + "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--settle", type=float, help="only with this share left out")
    parser.add_argument("--load", type=float, help="only at this load")
    parser.add_argument("--cv", type=float, help="only with this variation of service times")
    parser.add_argument("--seed", type=int, default=12)
    asked = parser.parse_args()
    lengths = {
        0.35: (250, 750, 3000, 6000),
        0.5: (75, 250, 750),
        0.8: (400, 2000, 4000, 10_000),
        0.9: (1000, 10_000),
    }
    for cv in (0.4, 1.0) if asked.cv is None else (asked.cv,):
        for load, sizes in lengths.items():
            if asked.load not in (None, load):
                continue
            true = truth(load, cv, np.random.default_rng(1))
            print(f"# load {load:.0%}, cv {cv}: p50 {true[0]:.2f} s, p95 {true[1]:.2f} s")
            for total in sizes:
                for blocks in (1, 3):
                    for share in (0.0, 0.1, 0.25) if asked.settle is None else (asked.settle,):
                        n = total // blocks
                        print(
                            row(load, cv, blocks, n, share, asked.draws, true, asked.seed),
                            flush=True,
                        )


if __name__ == "__main__":
    main()
