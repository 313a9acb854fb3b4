"""Damaged files by the thousand: none may hang a command, end in a traceback or fill the memory.

python tests/performance/damaged_files_long.py [--files N] [--seconds S] [--seed N] [--only NAME]

Stops early when the time is up, and says how far it came. Ends with 1 if anything did not hold, or
memory went over 300 MiB. Damaged files that did not hold are kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

import damaged_files
import runs
import whole_files

MEMORY_MIB = 300


def write_run(folder: Path, number: int) -> Path:
    """A small run, of two models."""
    return runs.write_run(folder, replace(runs.Workload(), seed=number, requests=6, blocks=3))


def main() -> int:
    """Run every entrance in rounds until all is done or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    entrances = [e for e in damaged_files.ENTRANCES if asked.only in e.name]
    ends = time.monotonic() + asked.seconds
    os.environ["OLLAMA_HOST"] = "127.0.0.1:9"
    scratch = Path(tempfile.mkdtemp(prefix="damaged-files-"))
    whole = whole_files.made_whole(_made(scratch / "whole"), write_run)
    total = held = 0
    print(f"{'entrance':<24}{'tried':>7}{'held':>7}{'refused':>9}{'slowest':>9}")
    for number, entrance in enumerate(entrances):
        left = len(entrances) - number
        until = time.monotonic() + (ends - time.monotonic()) / left
        wanted, figures = asked.files // len(entrances), damaged_files.Figures()
        round_ = 0
        while figures.tried < wanted and time.monotonic() < until:
            n = min(20, wanted - figures.tried)
            seed = asked.seed * 1000 + round_
            more = damaged_files.try_entrance(entrance, whole, scratch, n, seed)
            figures.tried += more.tried
            figures.refused += more.refused
            figures.failed += more.failed
            figures.slowest_s = max(figures.slowest_s, more.slowest_s)
            round_ += 1
        print(
            f"{entrance.name:<24}{figures.tried:>7}{figures.held:>7}{figures.refused:>9}"
            f"{figures.slowest_s:>8.1f}s",
            flush=True,
        )
        for line in figures.failed[:8]:
            print(f"    {line}")
        total += figures.tried
        held += figures.held
    memory = damaged_files.peak_mib()
    print(f"{total} damaged files, {held} held; memory {memory:.0f} MiB at most, of {MEMORY_MIB}")
    return int(held < total or memory > MEMORY_MIB)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
