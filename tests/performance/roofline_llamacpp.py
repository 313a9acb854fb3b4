"""Roofline on a real engine: llama.cpp with SmolLM2 135M in F16, Q8_0 and Q4_0, one thread.

    python tests/performance/roofline_llamacpp.py [-o DIR] [--requests 8] [--only-memory]

Printed: the memory test against C code that reads as STREAM does (bar: within 10 %; the same array
and threads, in turn, as many passes, the best of each, because other work on the machine only ever
slows one down; nothing is written, so no write-allocate is counted; half a minute); bytes per token
against the file's tensors (bar: 1 %); shares, and what the report says of them. The figures want a
quiet machine: the load average is printed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from gguf import GGUFReader
from quantised import write_set

import bench
from bench.cores import usable_cpus
from bench.report.model import build_report
from bench.report.page import plain
from bench.report.roofline_words import memory, size_findings
from bench.results.directory import read_run
from bench.server.llamacpp.model_file import find_model
from bench.telemetry.bandwidth import passes, touched_array

SCENARIO = {
    "schema": 1,
    "name": "roofline",
    "endpoint": "generate",
    "options": {"num_ctx": 1024, "temperature": 0, "seed": 7, "num_predict": 64},
    "prompts": {"synthetic": {"input_tokens": 256}, "cache": "bust"},
    "warmup": 1,
    "blocks": 3,
}
TURNS = 25


def memory_against_c(folder: Path) -> bool:
    """Both read the same array, pass by pass in turn; the best pass of each counts."""
    library = folder / "read_speed.so"
    source = Path(__file__).with_name("read_speed.c")
    flags = ["-shared", "-fPIC", "-O3", "-march=native", "-ffast-math", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", library, source], check=True)
    read_once = ctypes.CDLL(str(library)).read_once
    read_once.restype = ctypes.c_double
    read_once.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    data, most = touched_array(), usable_cpus()
    held = True
    with ThreadPoolExecutor(most) as pool:
        for threads, ways in passes(pool, data, most):
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(TURNS):
                # As many passes each, or the best of more would be the better one.
                c_passes = (read_once(data.ctypes.data, len(data), threads) for _ in ways)
                theirs.append(min(c_passes))
                ours.append(min(map(timed, ways)))
            best, c = data.nbytes / min(ours), data.nbytes / min(theirs)
            held &= abs(best / c - 1) <= 0.1
            middle = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
            print(
                f"read by {threads}: {best / 1e9:.1f} GB/s, C {c / 1e9:.1f} ({best / c - 1:+.1%}); "
                f"median of {TURNS} turns {middle - 1:+.1%}; {data.nbytes >> 20} MiB, "
                f"load average {os.getloadavg()[0]:.1f}"
            )
    return held


def timed(read: Callable[[], object]) -> float:
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", dest="folder", type=Path)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--only-memory", action="store_true")
    asked = parser.parse_args()
    print("load average", os.getloadavg())
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        held = memory_against_c(folder)
        if not asked.only_memory:
            held &= decode(folder, asked.requests)
    sys.exit(not held)


def decode(folder: Path, requests: int) -> bool:
    paths = write_set(find_model(), folder / "models", ("Q8_0", "Q4_0"))
    models = [f"{name.lower()}={path}" for name, path in paths.items()]
    with bench.start_server("llama.cpp", models=models, threads=1) as server:
        run = bench.run(
            SCENARIO | {"load": {"closed": {"users": 1, "requests": requests}}},
            models=[name.lower() for name in paths],
            hosts=[server.url],
            settings=bench.Settings(output=folder / "runs", history=None),
        )
    stored = read_run(run.path)
    report = build_report([stored], [run.summary])
    held = True
    for case in report.cases:
        tensors = sum(int(t.n_bytes) for t in GGUFReader(paths[case.model.upper()]).tensors)
        roof = case.summary.roofline
        assert roof is not None, case.summary.metrics["mem_bw_share"].note
        off = roof.weight_bytes / tensors - 1
        held &= abs(off) <= 0.01
        print(
            f"{case.model}: {roof.weight_bytes / 1e6:.1f} MB of weights a token, file "
            f"{tensors / 1e6:.1f} ({off:+.2%}); {roof.step_s * 1e3:.2f} ms; "
            f"{roof.bytes_per_s / 1e9:.1f} of {roof.reachable_bytes_per_s / 1e9:.1f} GB/s"
        )
        if (said := memory(case)) is not None:
            print("  ", plain(said))
    for finding in size_findings(report):
        print(*finding.texts)
    for warning in run.summary.warnings:
        if warning.code == "above_roof":
            print("  warning:", warning.message)
    return held


if __name__ == "__main__":
    main()
