"""Senders on several machines: clocks, delivered rate, and what a fleet costs.

    python tests/performance/fleet.py clocks    # as root: network and time namespaces, Linux 5.6
    python tests/performance/fleet.py rate      # these two on Linux, with a C compiler
    python tests/performance/fleet.py chunks
    python tests/performance/fleet.py alone [--pairs 10]

`clocks`: three senders, each in a network namespace and a time namespace of its own, whose clocks
are 50 ms ahead, 50 ms behind and right, and run 20 ppm too fast, too slow and right (the clock that
Python sees is slowed down in those processes). The server's own notes say when each chunk was sent;
the corrected stamps are laid beside them. `rate`: three senders, open loop, beside one process.
`chunks`: three senders, ever more streams; both on the compiled server of `nullserver/`, which
needs a fraction of a core, goes ahead of all other work (as root), and notes when each line left.
`alone`: pairs of runs from one process and from `local:1`. Required: see the README here. The
machine's load average is printed with everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from null_server import build, read_notes, serving
from scipy import stats

import bench
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.server.embedded import start_server

NULL = "null:1b"
CLOSED = """
schema: 1
name: fleet
prompts: [Hello, "How are you?", "What is new?"]
options: {num_predict: %d}
blocks: %d
warmup: 2
load: {%s}
"""
PLANTED = ((0.050, 20.0), (-0.050, -20.0), (0.0, 0.0))
NEW_TIME = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).unshare(0x80):
    raise OSError(ctypes.get_errno(), "unshare")
seconds, rest = divmod(round(float(sys.argv[1]) * 1e9), 10**9)
open("/proc/self/timens_offsets", "w").write(f"monotonic {seconds} {rest}")
child = os.fork() or os.execvp(sys.argv[2], sys.argv[2:])
os.waitpid(child, 0)
"""
DRIFT = """
import os, time
_rate, _begin = 1 + float(os.environ["DRIFT_PPM"]) * 1e-6, time.monotonic_ns()
_ns = time.monotonic_ns
def monotonic_ns():
    return _begin + round((_ns() - _begin) * _rate)
_begin = int(os.environ.setdefault("DRIFT_FROM", str(_begin)))
time.monotonic_ns = monotonic_ns
"""


@contextlib.contextmanager
def cluster(folder: Path, prefixes: list[list[str]], host: str = "127.0.0.1") -> Iterator[list]:
    """A scheduler and a worker behind each prefix; its address, then the processes."""
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [
        *dask,
        "--host",
        host,
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    started = [subprocess.Popen(command, **silent)]
    try:
        while not file.exists() or not file.read_text().rstrip().endswith("}"):
            time.sleep(0.1)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker"]
        options = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--scheduler-file", str(file)]
        for number, prefix in enumerate(prefixes):
            named = [*prefix, *worker, *options, "--name", str(number)]
            started.append(subprocess.Popen(named, **silent))
        yield [json.loads(file.read_text())["address"], *started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(folder: Path, url: str, text: str, load_from: str, model: str = "sim-small"):
    """One run; its directory as read back."""
    file = folder / "fleet.yaml"
    file.write_text(text)
    settings = bench.Settings(output=folder / "runs", load_from=load_from)
    done = bench.run(file, models=[model], hosts=[url], settings=settings, report=False)
    return read_run(done.path)


@contextlib.contextmanager
def null_server(folder: Path, tokens: int, gap_us: float) -> Iterator[str]:
    """The compiled server; its URL. What it noted is there when it has ended."""
    options = {"tokens": tokens, "gap_us": gap_us, "first_us": gap_us, "log": folder / "log"}
    with serving(build(folder), ahead=True, **options) as port:
        yield f"http://127.0.0.1:{port}"


def noted(folder: Path) -> dict[int, np.ndarray]:
    """When the compiled server sent each line, by stream."""
    ns, starts = read_notes(folder / "log")
    return {stream: ns[starts[stream] : starts[stream + 1]] for stream in range(1, len(starts) - 1)}


def stamp_errors_ns(info, records, sent, key: str = "load_duration") -> dict[int, np.ndarray]:
    """By sender: corrected stamps of chunks less the moment the server sent them.

    Args:
        sent: these moments, by the duration that `key` names.
    """
    origin = info.clock.monotonic_origin_ns
    errors: dict[int, list[np.ndarray]] = {}
    for r in records:
        lines = sent.get(getattr(r.server, key))
        if lines is not None and r.sent_ns is not None and len(lines) == len(r.chunk_gaps_ns):
            stamps = origin + r.sent_ns + np.cumsum(r.chunk_gaps_ns)
            errors.setdefault(r.worker, []).append(stamps - np.array(lines))
    return {worker: np.concatenate(all_) for worker, all_ in sorted(errors.items())}


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Network namespaces on one bridge, 10.77.0.1; their names."""
    names = [f"bench{n}" for n in range(count)]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("link", "add", "bench-br", "type", "bridge")
    try:
        ip("addr", "add", "10.77.0.1/24", "dev", "bench-br")
        ip("link", "set", "bench-br", "up")
        for n, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"bv{n}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"bv{n}", "master", "bench-br", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{n + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        ip("link", "del", "bench-br")


def clocks(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    (folder / "sitecustomize.py").write_text(DRIFT)
    prefixes = []
    with namespaces(len(PLANTED)) as names:
        for name, (offset_s, ppm) in zip(names, PLANTED, strict=True):
            inside = ["ip", "netns", "exec", name, sys.executable, "-c", NEW_TIME, str(offset_s)]
            prefixes.append([*inside, "env", f"DRIFT_PPM={ppm}", f"PYTHONPATH={folder}"])
        with (
            start_server(profile="test", host="10.77.0.1", num_parallel=6) as server,
            cluster(folder, prefixes, "10.77.0.1") as (address, *_),
        ):
            text = CLOSED % (12, args.blocks, "closed: {users: [6], duration: 8s}")
            kept = run(folder, server.url, text, address)
            sent = {t.metrics["total_duration"]: t.line_sent_ns for t in server.truth if t.metrics}
    print("sender  clock found (ms, ppm)  block: error of corrected stamps p5 / p50, bound (ms)")
    rows = {(b.index, s.number): s for b in kept.info.blocks for s in b.senders}
    inside = total = 0
    for b in kept.info.blocks:
        part = [r for r in kept.records if r.block == b.index]
        for worker, found in stamp_errors_ns(kept.info, part, sent, "total_duration").items():
            s = rows.get((b.index, worker))
            if s is None:
                continue
            low, middle = np.quantile(found, [0.05, 0.5]) / 1e6
            total += 1
            inside += abs(low) <= s.clock.error_ns / 1e6
            print(
                f"{worker} {s.name:10} {s.clock.offset_ns / 1e6:+9.3f} {s.clock.drift_ppm:+6.1f}"
                f"   {b.number}: {low:+.3f} / {middle:+.3f}, ±{s.clock.error_ns / 1e6:.3f}"
            )
    print(f"within the bound: {inside} of {total}")


def rate(args: argparse.Namespace) -> None:
    folder = Path(args.folder)
    load = f"open: {{rate: {args.rate}, duration: 20s, arrivals: poisson, max_in_flight: 600}}"
    with null_server(folder, 8, 10_000) as url, cluster(folder, [[]] * 3) as c:
        runs = [
            (w or "one process", run(folder, url, CLOSED % (8, 1, load), w, NULL))
            for w in ("", c[0])
        ]
    sent_ns = noted(folder)
    for where, kept in runs:
        mine = [r for r in kept.records if r.phase is Phase.MEASURE]
        due, sent = (np.sort([getattr(r, f) for r in mine]) for f in ("planned_ns", "sent_ns"))
        late = np.array([r.sent_ns - r.planned_ns for r in mine]) / 1e6
        [block] = kept.info.blocks
        planned_s = (due[-1] - due[0]) / 1e9
        spent_s = (sent[-1] - sent[0]) / 1e9
        by_law = [
            stats.kstest(np.diff(x) / 1e9, "expon", args=(0, 1 / args.rate)) for x in (due, sent)
        ]
        print(
            f"{where:28} {len(mine)} of {block.planned_arrivals} sent; "
            f"{(len(mine) - 1) / spent_s:.2f}/s of {(len(mine) - 1) / planned_s:.2f}/s planned "
            f"({100 * (planned_s / spent_s - 1):+.3f} %); late p50 {np.median(late):.2f}, p99 "
            f"{np.quantile(late, 0.99):.2f} ms; KS p: planned {by_law[0].pvalue:.3f}, sent "
            f"{by_law[1].pvalue:.3f}"
        )
        for worker, found in stamp_errors_ns(kept.info, mine, sent_ns).items():
            part = np.sort([r.sent_ns for r in mine if r.worker == worker])
            law = stats.kstest(np.diff(part) / np.diff(part).mean(), "expon").pvalue
            print(f"  sender {worker}: {len(part)} sent, KS p {law:.3f}; {off_by(found)}")


def off_by(errors_ns: np.ndarray) -> str:
    """How far stamps are off."""
    low, middle, high = np.quantile(errors_ns, [0.01, 0.5, 0.99]) / 1e6
    size = np.quantile(np.abs(errors_ns), 0.99) / 1e6
    return (
        f"stamps off by p1 {low:+.3f}, p50 {middle:+.3f}, p99 {high:+.3f} ms; size p99 {size:.3f}"
    )


def chunks(args: argparse.Namespace) -> None:
    """As many chunks as the machine carries, by sender, and what their stamps are off by."""
    folder = Path(args.folder)
    with null_server(folder, 300, 3_000) as url, cluster(folder, [[]] * 3) as c:
        loads = {u: f"closed: {{users: [{u}], duration: 4s}}" for u in (9, 30, 60, 90)}
        runs = {u: run(folder, url, CLOSED % (300, 1, x), c[0], NULL) for u, x in loads.items()}
    sent = noted(folder)
    for users, kept in runs.items():
        [block] = kept.info.blocks
        mine = [r for r in kept.records if r.phase is Phase.MEASURE]
        span_s = (block.window_end_ns - block.window_start_ns) / 1e9
        bounds = {s.number: s.clock.error_ns / 1e6 for s in block.senders}
        for worker, found in stamp_errors_ns(kept.info, mine, sent).items():
            per_s = sum(len(r.chunk_gaps_ns) for r in mine if r.worker == worker) / span_s
            print(
                f"{users:3} users, sender {worker}: {per_s:7,.0f} chunks/s; {off_by(found)} "
                f"(clock known to {bounds.get(worker, float('nan')):.3f})"
            )


METRICS = ("ttft", "e2e", "gap", "over", "per_s")
"""Of a run, medians of its requests: time to first text, whole answer, between chunks, whole answer
less the server's time (all ms); and requests a second."""


def of_run(kept) -> list[float]:
    mine = [r for r in kept.records if r.phase is Phase.MEASURE and r.outcome == "ok"]
    span_s = sum(b.window_end_ns - b.window_start_ns for b in kept.info.blocks) / 1e9
    columns = [
        [r.first_chunk_ns - r.sent_ns for r in mine],
        [r.end_ns - r.sent_ns for r in mine],
        [statistics.median(r.chunk_gaps_ns[1:]) for r in mine],
        [r.end_ns - r.sent_ns - (r.server.total_duration or 0) for r in mine],
    ]
    return [*(statistics.median(column) / 1e6 for column in columns), len(mine) / span_s]


def alone(args: argparse.Namespace) -> None:
    """Pairs in a drawn order: one process, and a fleet of one."""
    folder, draw = Path(args.folder), random.Random(args.seed)
    text = CLOSED % (8, 2, "closed: {users: [2], requests: 60}")
    rows: dict[str, list[list[float]]] = {"": [], "local:1": []}
    with start_server(profile="test") as server:
        for _ in range(args.pairs):
            for where in draw.sample(sorted(rows), 2):
                rows[where].append(of_run(run(folder, server.url, text, where)))
    one, fleet = (np.array(rows[where]) for where in ("", "local:1"))
    for n, name in enumerate(METRICS):
        by = fleet[:, n] - one[:, n]
        half = stats.t.ppf(0.975, len(by) - 1) * by.std(ddof=1) / len(by) ** 0.5
        both = f"one process {np.median(one[:, n]):.3f}, local:1 {np.median(fleet[:, n]):.3f}"
        print(
            f"{name:6} {both}; difference {by.mean():+.3f} "
            f"({by.mean() - half:+.3f} to {by.mean() + half:+.3f})"
            f"{'' if abs(by.mean()) <= half else '  NOT THE SAME'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["clocks", "rate", "chunks", "alone"])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as args.folder:
        os.environ["XDG_STATE_HOME"] = str(Path(args.folder) / "state")
        globals()[args.what](args)


if __name__ == "__main__":
    main()
