"""How often `history trend` marks a change that is none, and how often it finds one that is.

    python tests/performance/change_point_error_rates.py [DRAWS]     (1,000 draws: some minutes)

Simulates histories (`tests/support/run_histories.py`) and looks for change points as the trend page
does. The promise is at most 5 % of series with a false one under autocorrelation or under drift,
and under both at once of those that are not said to be perhaps a drift; all are shown too. Two
standard errors of chance are allowed for. All
seeds are fixed. Exits with 1 if the promise is broken.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from run_histories import History, marked

LENGTHS = (10, 20, 30, 100)
PROMISED = (
    ("independent", {}),
    ("autocorrelation .3", {"phi": 0.3}),
    ("autocorrelation .6", {"phi": 0.6}),
    ("autocorrelation .8", {"phi": 0.8}),
    ("drift of 3 %", {"drift": 0.03}),
    ("drift of 10 %", {"drift": 0.10}),
    ("heavy tails", {"heavy": True}),
    ("heavy tails, .6", {"heavy": True, "phi": 0.6}),
)
BOTH = (
    ("drift of 10 %, .3", {"drift": 0.10, "phi": 0.3}),
    ("drift of 10 %, .6", {"drift": 0.10, "phi": 0.6}),
    ("drift of 10 %, .8", {"drift": 0.10, "phi": 0.8}),
    ("drift of 20 %, .6", {"drift": 0.20, "phi": 0.6}),
)
STEPS = ((30, 1), (30, 3), (30, 5), (30, 10), (10, 3), (10, 10), (15, 15))


def main() -> int:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    bar = 0.05 + 2 * math.sqrt(0.05 * 0.95 / draws)
    broken = 0
    print(f"{draws} histories each; share with a change point though there is no step")
    print(f"{'runs scatter by':26}" + f"{'2 %':>8}" + " " * 24 + f"{'5 %':>8}")
    print(f"{'runs':26}" + "".join(f"{n:8}" for n in LENGTHS * 2))
    rows = [(name, kind, False, True) for name, kind in PROMISED]
    rows += [(name, kind, False, False) for name, kind in BOTH]
    rows += [(f"{name}, firm", kind, True, True) for name, kind in BOTH]
    for name, kind, firm, promised in rows:
        rates = [
            marked(History(sd=s, **kind), n, draws, firm=firm)
            for s in (0.02, 0.05)
            for n in LENGTHS
        ]
        broken += promised and max(rates) > bar
        print(f"{name:26}" + "".join(f"{r:8.1%}" for r in rates), flush=True)
    print("\nshare in which a loss of 5 % is found, runs before + since")
    print(f"{'':24}" + "".join(f"{f'{n}+{after}':>8}" for n, after in STEPS))
    for name, history in (
        ("scatter 1 %", History(sd=0.01)),
        ("scatter 2 %", History()),
        ("scatter 2 %, .3", History(phi=0.3)),
        ("scatter 2 %, heavy", History(heavy=True)),
    ):
        found = [marked(history, n, draws, after, math.log(0.95)) for n, after in STEPS]
        print(f"{name:24}" + "".join(f"{f:8.0%}" for f in found), flush=True)
        found = [marked(history, n, draws, after, math.log(0.95), firm=True) for n, after in STEPS]
        print(f"{'  firm':24}" + "".join(f"{f:8.0%}" for f in found), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
