"""How often Little's law calls an honest run broken.

    python tests/performance/littles_law_alarms.py

Closed loops held to the end, or drained as older versions left them, and open loops below and above
what the server can do, ended by requests or by time: three blocks each, natural lengths. Bar: at
most 1 alarm in 1,000 honest runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from littles_law_runs import CLOSED, OPEN, case_of, closed_block, open_block

from bench.analysis.run.littles_law import littles_law

RECORDS = Path(__file__).parents[1] / "unit" / "analysis" / "conftest.py"
MOST = 1 / 1000


def record_maker() -> Callable[..., Any]:
    """What the unit tests make their records with."""
    spec = importlib.util.spec_from_file_location("records", RECORDS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["records"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module.request


def main() -> int:
    """Prints the table; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    make, rng = record_maker(), np.random.default_rng(asked.seed)
    kinds: dict[str, tuple[Any, Callable[..., Any]]] = {}
    for requests in (12, 24):
        for hold in (True, False):
            kinds[f"closed, {requests} requests, {'held' if hold else 'drained'}"] = (
                CLOSED,
                lambda index, n=requests, h=hold: closed_block(
                    rng, make, index, requests=n, hold=h
                ),
            )
    for load in (0.6, 0.9, 2.0):
        for duration in (None, 12):
            kinds[f"open, load {load:.0%}, {'25 requests' if duration is None else '12 s'}"] = (
                OPEN,
                lambda index, x=load, d=duration: open_block(rng, make, index, x, duration=d),
            )
    alarms = 0
    for name, (load, block) in kinds.items():
        found = sum(bool(list(littles_law(case_of(block, load)))) for _ in range(asked.runs))
        alarms += found
        print(f"{name:32s} {found} of {asked.runs}", flush=True)
    total = asked.runs * len(kinds)
    print(f"{'all':32s} {alarms} of {total}: {alarms / total:.2%} (bar {MOST:.1%})")
    return int(alarms > MOST * total)


if __name__ == "__main__":
    sys.exit(main())
