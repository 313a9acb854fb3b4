"""Runs killed by every signal, alone or with their children, in every phase: what is lost?

    python tests/performance/kills.py [--kills 320] [--minutes 30] [--seed 1]

Each kill is a run of its own against the embedded server, whose truth log says what had ended.
Bars: at least 300 kills; 0 hangs, 0 tracebacks, 0 lost ended requests, 0 processes or temporary
files left behind; no process over 300 MiB. Prints the figures, and every kill that did not hold.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from damaged_files import peak_mib
from killing import PHASES, SIGNALS, kill_a_run

from bench.server.embedded import start_server

MEMORY_MIB = 300


def main() -> int:
    """Kill until there were enough, or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=320)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    # A shell starts what is in the background with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draws = random.Random(wanted.seed)
    kinds = list(itertools.product(SIGNALS, PHASES, (1, 1, 3), (False, True)))
    draws.shuffle(kinds)
    deadline = time.monotonic() + 60 * wanted.minutes
    done: list[bool] = []
    codes: Counter[str] = Counter()
    records = 0
    with start_server(profile="test", num_parallel=2) as server:
        for number, phase, workers, group in itertools.islice(itertools.cycle(kinds), wanted.kills):
            if time.monotonic() > deadline:
                break
            with tempfile.TemporaryDirectory() as folder:
                moment = draws.random()
                kill = kill_a_run(Path(folder), server, number, phase, workers, moment, group)
            name = signal.Signals(number).name
            done.append(not kill.wrong)
            codes[f"{name} {kill.code}"] += 1
            records += kill.records
            if len(done) % 20 == 0:
                print(f"{len(done)} tried, {sum(done)} held", flush=True)
            if kill.wrong:
                what = f"{name} {phase} workers={workers} group={group}"
                print(f"FAILS {what}: {kill.wrong}", flush=True)
    print(f"kills: {len(done)} tried, {sum(done)} held; {records:,} records kept")
    memory_mib = peak_mib(children=True)
    print(f"at most {memory_mib:.0f} MiB in one process, of {MEMORY_MIB}")
    print("exit codes: " + ", ".join(f"{k}: {n}" for k, n in sorted(codes.items())))
    return int(not all(done) or memory_mib > MEMORY_MIB)


if __name__ == "__main__":
    sys.exit(main())
