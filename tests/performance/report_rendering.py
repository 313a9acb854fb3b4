"""How long a report takes, how much memory, how large it is.

    python tests/performance/report_rendering.py [--requests 100000] [--repeat 5]

Each report is rendered by `ollama-bench report` in a fresh process, imports included, from a run
directory made beforehand (plausible numbers, seeded). Prints the median and the range of the wall
time, the CPU time (the figure to trust on a busy machine), the largest peak of memory, and the
size of the page. Bars: a usual run under 1 s and 400 kB; 100,000 requests under 5 s, 250 MB and
3 MB, and with 256 chunks each (--output-tokens 256) under 1.5 GB; 1,000,000 (--requests 1000000)
under 30 s and 1.5 GB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

from runs import CHAT, CONCURRENCY, Workload, write_run

_LAUNCH = """
import os, subprocess, sys, time
begin = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
assert status == 0
wall = time.perf_counter() - begin
print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""
"""A small process in between: the peak of a child begins at what its parent holds."""


def measure(run_dir: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MiB of rendering one run directory."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCH]
    command += [sys.executable, "-m", "bench", "report", str(run_dir)]
    # An installed program is compiled once, not at each start.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    wall, cpu, peak = map(float, printed.split())
    return wall, cpu, peak


def report(name: str, workload: Workload, repeat: int, parent: Path) -> None:
    """Measure one kind of run and print a line."""
    run_dir = write_run(parent, workload)
    runs = [measure(run_dir) for _ in range(repeat)]
    times = sorted(t for t, _, _ in runs)
    cpu = statistics.median(c for _, c, _ in runs)
    lines = sum(1 for _ in (run_dir / "requests.jsonl").open("rb"))
    size = (run_dir / "report.html").stat().st_size / 1e6
    memory = max(m for *_, m in runs)
    print(
        f"{name:24} {lines:8,} requests  {statistics.median(times):6.2f} s "
        f"({times[0]:.2f} to {times[-1]:.2f})  CPU {cpu:5.2f} s  {memory:5.0f} MiB  {size:5.2f} MB",
        flush=True,
    )


def main() -> None:
    """Measure a small, a usual and a very large run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    cases = len(CONCURRENCY.models) * len(CONCURRENCY.users) * CONCURRENCY.blocks
    large = replace(
        CONCURRENCY,
        requests=arguments.requests // cases,
        output_tokens=arguments.output_tokens,
    )
    with tempfile.TemporaryDirectory() as folder:
        report("chat, 3 models", CHAT, arguments.repeat, Path(folder))
        report("concurrency, 2 models", CONCURRENCY, arguments.repeat, Path(folder))
        report("the same, large", large, max(2, arguments.repeat // 2), Path(folder))


if __name__ == "__main__":
    main()
