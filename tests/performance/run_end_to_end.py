"""A whole `ollama-bench run` at full load: are its numbers as exact as those of the bare transport?

    python tests/performance/run_end_to_end.py [--rate 10000] [--seconds 60] [--streams 100]

The command runs as users run it: journal on, live view on a pseudo-terminal. Its requests go to the
compiled null server, which writes token lines on an absolute schedule and notes CLOCK_MONOTONIC
before each write; only the control calls (version, models, ...) are answered by this process, for
the null server has no such thing. Stamp errors are taken from the run directory, as it was written.

    stamp error   first chunk and every chunk of the records, minus the server's note
    journal       largest amount by which the file was behind what had ended 20 ms before
    memory        resident memory in the last quarter of the run against the second quarter

Needs Linux and gcc. Other work on the machine shows in the figures: the load average is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from null_server import read_notes
from run_startup import MODEL, Handler, Server
from transport_bench import Bench

from bench.results.directory import read_run
from bench.results.record import Phase, RequestRecord
from bench.results.run import ClientHealth

TOKENS = 128
BEHIND_NS = 20_000_000
SCENARIO = """
schema: 1
name: end-to-end
prompts: [Hello]
options: {{num_predict: {tokens}}}
load: {{closed: {{users: {streams}, requests: {requests}}}}}
warmup: 4
blocks: 1
"""

CHILD = """
import sys
from bench.ollama.control import Control
control, *sys.argv[1:] = sys.argv[1:]
Control.of = classmethod(lambda cls, address: cls(control, verify=False))
from bench.cli import main
main()
"""


@dataclass
class Sampled:
    """What was seen of the running process: (CLOCK_MONOTONIC in ns, bytes)."""

    rss: list[tuple[int, int]] = field(default_factory=list)
    journal: list[tuple[int, int]] = field(default_factory=list)
    screen_bytes: int = 0


def run(url: str, control: str, folder: Path, scenario: Path) -> tuple[Sampled, Path]:
    """The command on a pseudo-terminal, watched until it ends."""
    seen, (screen, stderr) = Sampled(), pty.openpty()
    chosen = ["run", str(scenario), "-m", MODEL, "--host", url, "-o", str(folder / "runs")]
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, control, *chosen, "--no-report", "--no-history"],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(stderr)
    reader = threading.Thread(target=read_screen, args=(screen, seen), daemon=True)
    reader.start()
    while process.poll() is None:
        sample(process.pid, folder, seen)
        time.sleep(0.25)
    assert process.stdout is not None
    out = process.stdout.read()
    reader.join(5)
    if process.returncode not in (0, 1, 5):
        raise SystemExit(f"the run failed ({process.returncode}): {out}")
    return seen, Path(out.strip().splitlines()[-1])


def read_screen(screen: int, seen: Sampled) -> None:
    """Take what is drawn, as a terminal would."""
    while True:
        try:
            drawn = os.read(screen, 65536)
        except OSError:
            return
        if not drawn:
            return
        seen.screen_bytes += len(drawn)


def sample(pid: int, folder: Path, seen: Sampled) -> None:
    """Look at the memory of a process and the size of its journal."""
    now = time.monotonic_ns()
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return
    seen.rss.append((now, pages * os.sysconf("SC_PAGE_SIZE")))
    for journal in folder.glob("runs/*/requests.jsonl"):
        seen.journal.append((time.monotonic_ns(), journal.stat().st_size))


def stamp_errors(records: list[RequestRecord], origin_ns: int, log: Path) -> np.ndarray:
    """Our stamp minus the server's note, of every chunk, in ns."""
    sent_ns, starts = read_notes(log)
    errors = []
    for record in records:
        stream = int(record.created_at_first)
        stamps = origin_ns + record.sent_ns + np.cumsum(record.chunk_gaps_ns)
        errors.append(stamps - sent_ns[starts[stream] : starts[stream] + len(stamps)])
    return np.concatenate(errors)


def behind_bytes(
    records: list[RequestRecord], directory: Path, origin_ns: int, seen: Sampled
) -> int:
    """By how much the journal was behind what had ended a moment before, at worst."""
    lines = (directory / "requests.jsonl").read_bytes().splitlines(keepends=True)
    ended = np.array([json.loads(line)["end_ns"] for line in lines]) + origin_ns
    order = np.argsort(ended)
    total = np.concatenate(([0], np.cumsum(np.array([len(line) for line in lines])[order])))
    return max(
        int(total[np.searchsorted(ended[order], at - BEHIND_NS)]) - size
        for at, size in seen.journal
    )


def memory(seen: Sampled, records: list[RequestRecord], origin_ns: int) -> dict[str, float]:
    """Resident memory in the quarters of the measured phase, in MiB."""
    begin = origin_ns + min(r.sent_ns or 0 for r in records)
    end = origin_ns + max(r.end_ns or 0 for r in records)
    at = np.array([t for t, _ in seen.rss])
    size = np.array([s for _, s in seen.rss]) / 2**20
    quarter = (at - begin) / (end - begin) * 4
    second, last = size[(quarter >= 1) & (quarter < 2)], size[(quarter >= 3) & (quarter <= 4)]
    return {"second": float(np.median(second)), "last": float(np.median(last))}


def tell(args: argparse.Namespace, directory: Path, log: Path, seen: Sampled, load: float) -> None:
    """Print the figures."""
    found = read_run(directory)
    records = [r for r in found.records if r.phase is Phase.MEASURE]
    origin_ns = found.info.clock.monotonic_origin_ns
    errors = np.abs(stamp_errors(records, origin_ns, log)) / 1e6
    span_s = (max(r.end_ns or 0 for r in records) - min(r.sent_ns or 0 for r in records)) / 1e9
    p50, p99 = np.percentile(errors, [50, 99])
    health: ClientHealth = found.info.blocks[0].health
    rss = memory(seen, records, origin_ns)
    behind = behind_bytes(records, directory, origin_ns, seen)
    size = (directory / "requests.jsonl").stat().st_size
    chunks = sum(r.chunks for r in records)
    per_1000 = (rss["last"] - rss["second"]) * 1024 / (len(records) / 2) * 1000
    figures: list[tuple[str, Any]] = [
        ("load average while running", f"{load:.1f} on {os.cpu_count()} CPUs"),
        ("requests, all ok", f"{len(records):,}, {all(r.outcome == 'ok' for r in records)}"),
        ("chunks per second", f"{chunks / span_s:,.0f} of {args.rate:,.0f} over {span_s:.0f} s"),
        ("stamp error p50 / p99 / max", f"{p50:.4f} / {p99:.4f} / {errors.max():.3f} ms"),
        ("stamp error p99 by second", by_second(records, origin_ns, log)),
        ("coalesced, user stamps", f"{health.coalesced_lines}, {health.user_stamps}"),
        ("event-loop lag p99 / max", f"{health.loop_lag_p99_ms} / {health.loop_lag_max_ms} ms"),
        ("asked again late p99", f"{health.send_late_p99_ms} ms"),
        ("CPU of the client", f"{health.cpu_share:.0%} of a core"),
        ("journal", f"{size / span_s / 1e6:.2f} MB/s, at most {max(0, behind)} bytes behind"),
        ("drawn on the terminal", f"{seen.screen_bytes:,} bytes"),
        ("memory, second / last quarter", f"{rss['second']:.1f} / {rss['last']:.1f} MiB"),
        ("memory per 1,000 requests", f"{per_1000:.0f} KiB"),
        ("warnings", sorted({w.code for w in found.info.warnings})),
    ]
    for name, value in figures:
        print(f"{name:<32} {value}")


def by_second(records: list[RequestRecord], origin_ns: int, log: Path) -> str:
    """Spread of the p99 over the seconds of the run."""
    groups: dict[int, list[RequestRecord]] = {}
    for record in records:
        groups.setdefault((record.sent_ns or 0) // 1_000_000_000, []).append(record)
    p99 = [
        float(np.percentile(np.abs(stamp_errors(group, origin_ns, log)), 99)) / 1e6
        for group in groups.values()
        if len(group) >= 10
    ]
    return f"{min(p99):.4f} to {max(p99):.4f} ms, median {np.median(p99):.4f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=10_000, help="chunks per second")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    control = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder, quick=False)
        requests = round(args.rate * args.seconds / TOKENS)
        scenario = folder / "scenario.yaml"
        scenario.write_text(SCENARIO.format(tokens=TOKENS, streams=args.streams, requests=requests))
        gap_us = args.streams / args.rate * 1e6
        with bench.server(tokens=TOKENS, gap_us=gap_us, log=True) as port:
            url, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{control.server_port}"
            seen, directory = run(url, other, folder, scenario)
            load = os.getloadavg()[0]
        tell(args, directory, folder / "log", seen, load)


if __name__ == "__main__":
    main()
