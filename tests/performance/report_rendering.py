"""How long a report takes, how much memory, how large it is.

    python tests/performance/report_rendering.py [--requests 100000] [--repeat 5]

Each report is rendered by `ollama-bench report` in a fresh process, imports included, from a run
directory made beforehand (plausible numbers, seeded). Prints the median and the range of the wall
time, the CPU time (the figure to trust on a busy machine), the largest peak of memory, and the
size of the page. Bars: a usual run under 2 s and 1 MB;
100,000 requests under 10 s, 1 GB and 5 MB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

from runs import CHAT, CONCURRENCY, Workload, write_run


def measure(run_dir: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MiB of rendering one run directory."""
    command = [sys.executable, "-m", "bench", "report", str(run_dir)]
    begin = time.perf_counter()
    child = os.posix_spawn(sys.executable, command, os.environ, file_actions=[_QUIET])
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    wall = time.perf_counter() - begin
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


_QUIET = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)


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
