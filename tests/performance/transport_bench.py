"""What the transports reach on this machine, against the bars of the project.

    python tests/performance/transport_bench.py [--quick] [--only NAME]... [--repeat N]

A compiled server (`nullserver/`) writes token lines on an absolute schedule and notes
CLOCK_MONOTONIC before each write; it runs on the first core, the client in a process of its own on
the second. Stamp error = client's stamp minus the server's note, so it holds the server's write and
the kernel's way as well. Every figure is the median of the repeats, with the least and the largest.
Open loops are measured by `run_open_loop.py`, whole runs by `run_end_to_end.py`.
Needs Linux, two cores, gcc and numpy. Other load on the machine shows in every figure; `chrt -f 50`
before the command (as root) keeps most of it out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from null_server import build, read_notes, serving

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True)
class Figure:
    """One measured value of one repeat, and the bar it is held to."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False


class Bench:
    """Builds the programs and runs stages against them."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.null_server = build(folder)
        build(folder, "reader")

    @contextlib.contextmanager
    def server(self, *, tokens: int, gap_us: float, log: bool = False) -> Iterator[int]:
        """The null server, on its core; yields its port."""
        options: dict[str, object] = {"log": self.folder / "log"} if log else {}
        with serving(
            self.null_server, core=SERVER_CORE, tokens=tokens, gap_us=gap_us, **options
        ) as port:
            yield port

    def client(self, stage: str, port: int, **options: object) -> dict[str, Any]:
        """One stage of `transport_client.py`, on the client's core."""
        command = [sys.executable, str(HERE / "transport_client.py"), stage, "--port", str(port)]
        command += ["--core", str(CLIENT_CORE)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(result.stdout)
        if set(found.get("outcomes", {"ok"})) - {"ok"}:
            sys.exit(f"{stage}: {found['outcomes']} {found['errors']}")
        return found

    def reader(self, port: int, streams: int, spread_ms: int, rounds: int) -> float:
        """CPU seconds per line of the C reader."""
        result = subprocess.run(
            [self.folder / "reader", *map(str, (port, streams, spread_ms, rounds))],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=lambda: pin(CLIENT_CORE),
        )
        lines, cpu_s, _ = map(float, result.stdout.split())
        return cpu_s / lines

    def errors_ns(self) -> tuple[np.ndarray, np.ndarray]:
        """Stamp errors of the last stage, and the errors of the gaps within its streams."""
        noted_ns, starts = read_notes(self.folder / "log")
        with np.load(self.folder / "stamps.npz") as found:
            streams, sizes, stamps = found["streams"], found["sizes"], found["stamps"]
        ends = np.cumsum(sizes)
        errors = [
            stamps[end - size : end] - noted_ns[starts[s] : starts[s] + size]
            for s, size, end in zip(streams, sizes, ends, strict=True)
        ]
        return np.concatenate(errors), np.concatenate([np.diff(e) for e in errors])


def pin(core: int) -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """One process on each of the two cores that never rests."""
    spin = "while True: sum(range(10000))"
    hogs = [
        subprocess.Popen([sys.executable, "-c", spin], preexec_fn=lambda c=core: pin(c))
        for core in (SERVER_CORE, CLIENT_CORE)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


# --- the measures ---------------------------------------------------------------------------------


def stamp_errors(
    bench: Bench, rate: int, streams: int, bar_ms: float, transport: str, title: str
) -> list[Figure]:
    """Stamp error at so many chunks a second over so many streams."""
    seconds = 2 if bench.quick else 6
    gap_us = streams / rate * 1e6
    tokens = round(seconds * 1e6 / gap_us)
    with bench.server(tokens=tokens, gap_us=gap_us, log=True) as port:
        found = bench.client(
            "streams",
            port,
            streams=streams,
            spread_s=1.0,
            stamps=bench.folder / "stamps.npz",
            transport=transport,
        )
    errors, gaps = bench.errors_ns()
    held = transport == "kernel"
    p50, p99 = np.percentile(np.abs(errors), [50, 99]) / 1e6
    return [
        Figure(f"{title}: stamp error p99", p99, "ms", bar_ms if held else None),
        Figure(f"{title}: stamp error p50", p50, "ms"),
        Figure(f"{title}: gap error p99", float(np.percentile(np.abs(gaps), 99)) / 1e6, "ms"),
        Figure(f"{title}: coalesced", found["coalesced"] / found["lines"] * 100, "%"),
        Figure(f"{title}: CPU per chunk", found["cpu_s"] / found["lines"] * 1e6, "us"),
    ]


def stamps(bench: Bench) -> list[Figure]:
    """One core, three loads; the others for comparison."""
    found = []
    for rate, streams in ((5_000, 100), (20_000, 400), (40_000, 400)):
        title = f"kernel {rate // 1000}k/s"
        found += stamp_errors(bench, rate, streams, 0.1, "kernel", title)
    found += stamp_errors(bench, 5_000, 100, 0.1, "user", "user 5k/s")
    found += stamp_errors(bench, 20_000, 400, 0.1, "user", "user 20k/s")
    found += stamp_errors(bench, 1_000, 20, 0.1, "httpx", "httpx 1k/s")
    return found


def stamps_busy(bench: Bench) -> list[Figure]:
    """The same with both cores busy with other work."""
    with busy_cores():
        found = stamp_errors(bench, 10_000, 200, 0.2, "kernel", "kernel 10k/s, busy")
        return found + stamp_errors(bench, 10_000, 200, 0.2, "user", "user 10k/s, busy")


def cpu(bench: Bench) -> list[Figure]:
    """CPU per chunk at 20k chunks/s against the C reader, one right after the other."""
    tokens, streams = (100 if bench.quick else 300), 400
    with bench.server(tokens=tokens, gap_us=20_000) as port:
        ours = bench.client("streams", port, streams=streams, spread_s=0.02, transport="kernel")
        theirs = bench.reader(port, streams, 20, 1)
    per_chunk = ours["cpu_s"] / ours["lines"]
    return [
        Figure("CPU per chunk at 20k/s / C reader", per_chunk / theirs, "x", 1.5),
        Figure("CPU per chunk at 20k/s", per_chunk * 1e6, "us"),
        Figure("CPU per chunk at 20k/s, C reader", theirs * 1e6, "us"),
    ]


def requests_32(bench: Bench) -> list[Figure]:
    """CPU of a streamed request of 32 tokens, at some 600 requests a second."""
    rounds = 4 if bench.quick else 16
    with bench.server(tokens=32, gap_us=20_000) as port:
        found = bench.client(
            "streams", port, streams=400, rounds=rounds, spread_s=0.02, transport="kernel"
        )
    per_request = found["cpu_s"] / (found["lines"] / 33)
    return [Figure("CPU per 32-token request", per_request * 1e3, "ms", 0.5)]


def short(bench: Bench) -> list[Figure]:
    """Short replies that are not streamed, as fast as one core can."""
    requests = 20_000 if bench.quick else 100_000
    with bench.server(tokens=1, gap_us=1) as port:
        found = bench.client("short", port, requests=requests, streams=64, transport="kernel")
    return [
        Figure("short requests", requests / found["wall_s"], "1/s", 25_000, at_least=True),
        Figure("CPU per short request", found["cpu_s"] / requests * 1e6, "us"),
    ]


def memory(bench: Bench) -> list[Figure]:
    """Resident memory that an open stream adds after some fifty chunks."""
    with bench.server(tokens=2_000, gap_us=40_000) as port:
        found = bench.client("memory", port, streams=1_000, seconds=3, transport="kernel")
    return [Figure("memory per open stream", found["bytes_per_stream"] / 1024, "KiB", 10)]


def held(bench: Bench) -> list[Figure]:
    """2,000 streams for a minute: no error, no drift."""
    seconds = 6 if bench.quick else 60
    with bench.server(tokens=seconds * 5, gap_us=200_000, log=True) as port:
        found = bench.client(
            "streams",
            port,
            streams=2_000,
            spread_s=2.0,
            stamps=bench.folder / "stamps.npz",
            transport="kernel",
        )
    with np.load(bench.folder / "stamps.npz") as stored:
        stamps = stored["stamps"]
    errors, _ = bench.errors_ns()
    order = np.argsort(stamps)
    fifth = len(order) // 5
    first, last = (np.median(errors[part]) for part in (order[:fifth], order[-fifth:]))
    return [
        Figure("2,000 streams: not ok", 2_000 - found["outcomes"]["ok"], "", 0),
        Figure("2,000 streams: drift of the median error", abs(last - first) / 1e6, "ms", 0.05),
        Figure("2,000 streams: stamp error p99", float(np.percentile(errors, 99)) / 1e6, "ms"),
    ]


def leak(bench: Bench) -> list[Figure]:
    """What the process has grown by between 20,000 and 100,000 requests."""
    requests = 30_000 if bench.quick else 100_000
    with bench.server(tokens=1, gap_us=1) as port:
        found = bench.client("leak", port, requests=requests, streams=16, transport="kernel")
    return [
        Figure(f"{requests:,} requests: growth", found["grown_bytes"] / 1024, "KiB", 1024),
        Figure(f"{requests:,} requests: descriptors left", found["descriptors_left"], "", 0),
    ]


MEASURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "stamps": stamps,
    "stamps_busy": stamps_busy,
    "cpu": cpu,
    "requests_32": requests_32,
    "short": short,
    "memory": memory,
    "held": held,
    "leak": leak,
}


def row(figures: list[Figure]) -> str:
    """One line of the table, from the same figure of all repeats."""
    first = figures[0]
    values = [f.value for f in figures]
    middle = statistics.median(values)
    spread = f"{min(values):.4g} - {max(values):.4g}" if len(values) > 1 else ""
    bar = met = ""
    if first.bar is not None:
        bar = f"{'>=' if first.at_least else '<='} {first.bar:g}"
        met = "yes" if (middle >= first.bar) == first.at_least or middle == first.bar else "NO"
    return f"| {first.name} | {middle:.4g} {first.unit} | {spread} | {bar} | {met} |"


def main() -> None:
    """Run the measures asked for and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--only", action="append", choices=list(MEASURES), default=[])
    parser.add_argument("--repeat", type=int, default=0, help="default 3, with --quick 1")
    args = parser.parse_args()
    repeat = args.repeat or (1 if args.quick else 3)
    print("| measure | median | spread | bar | met |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.quick)
        for name in args.only or MEASURES:
            repeats = [MEASURES[name](bench) for _ in range(repeat)]
            for figures in zip(*repeats, strict=True):
                print(row(list(figures)), flush=True)


if __name__ == "__main__":
    main()
