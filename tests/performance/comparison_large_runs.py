"""How long comparing two large runs takes: `python tests/performance/comparison_large_runs.py`.

Promise: two runs of 100,000 requests are compared in under 5 s and 1 GB, in a process of its own
that starts from nothing (`ollama-bench compare`). Exits with 1 if it is broken. HTML, which reads
all requests for its distributions, and a comparison without summary.json are shown beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from analysis_summarise import run

import bench
from bench.commands.run import conclude
from bench.results.directory import SUMMARY_FILE, RunDirectory

LIMIT_S, LIMIT_MB = 5.0, 1000.0


def store(folder: Path, requests: int, chunks: int) -> Path:
    """Write a run of one case with ten blocks, as `run` would leave it."""
    info, records = run(requests, cases=1, blocks=10, chunks=chunks)
    directory = RunDirectory.create(folder, "large")
    directory.write_info(replace(info, id=directory.id, tool_version=bench.__version__))
    with directory.journal() as journal:
        for record in records:
            journal.append(record)
    conclude(directory, report=False)
    return directory.path


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds and megabytes (peak) of one command in a process of its own."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 1, 3), code
    return time.monotonic() - start, usage.ru_maxrss / 1e3


def main() -> int:
    """Store two runs, compare them, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--chunks", type=int, default=60)
    options = parser.parse_args()
    os.environ["OLLAMA_BENCH_HISTORY"] = "off"
    with tempfile.TemporaryDirectory() as name:
        # In a process of its own: a child's peak memory never reads below its parent's.
        spawn = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
        with spawn as pool:
            wanted = [(Path(name), options.requests, options.chunks)] * 2
            paths = [str(path) for path in pool.starmap(store, wanted, chunksize=1)]
        took_s, peak_mb = measured("compare", *paths)
        print(f"compare: {took_s:.1f} s, {peak_mb:.0f} MB (limits {LIMIT_S:g} s, {LIMIT_MB:g} MB)")
        page = measured("compare", *paths, "--format", "html", "-o", f"{name}/page.html")
        print(f"compare --format html: {page[0]:.1f} s, {page[1]:.0f} MB")
        for path in paths:
            (Path(path) / SUMMARY_FILE).unlink()
        raw = measured("compare", *paths)
        print(f"compare without summary.json: {raw[0]:.1f} s, {raw[1]:.0f} MB")
    return int(took_s > LIMIT_S or peak_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
