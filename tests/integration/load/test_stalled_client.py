"""A client that is stopped in the middle of a block: what that bends is invalid (exit code 5)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from real_proxies import proxy

from bench.results.directory import read_run

STALL_S = 2.0
"""The same share of a block as of the stop that once went unseen, with half of throughput gone."""

CLOSED = "load={closed: {users: 4, duration: 3s}}"
ONE_USER = "load={closed: {users: 1, duration: 10s}}"
OPEN = "load={open: {rate: 20, duration: 3s, settle: 0.5s}}"


def wait_for(what, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def measured_so_far(folder):
    for file in folder.glob("runs/*/requests.jsonl"):
        return file.read_text().count('"phase":"measure"')
    return 0


def worker_of(pid):
    """The first worker process of a run."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    of = [c for c in map(int, children) if b"bench.load.worker" in cmdline(c)]
    return of[0] if of else None


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def start_run(folder, url, load, workers, transport):
    arguments = ["run", "smoke", "-m", "sim-small", "--set", load, "--set", "blocks=1"]
    arguments += ["--no-report"]
    arguments += ["--transport", transport, "--workers", str(workers)]
    arguments += ["--insecure"] if url.startswith("https") else []
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OLLAMA_HOST": url, "COLUMNS": "200"},
    )


def stall(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def check_stall_named(process, folder):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    run = folder / out.splitlines()[-1]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["valid"] is False
    [found] = [w for w in summary["warnings"] if w["code"] == "client_stalled"]
    assert found["invalidates"]
    [block] = read_run(run).info.blocks
    assert block.health.stalled_s == pytest.approx(STALL_S, abs=1.0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker by /proc")
@pytest.mark.parametrize(("load", "workers"), [(CLOSED, 1), (CLOSED, 2), (OPEN, 1)])
def test_a_stop_in_the_middle_invalidates(simulated, tmp_path, load, workers):
    """Takes as long as the stop: real processes, stopped and continued by signals."""
    process = start_run(tmp_path, simulated.url, load, workers, "kernel")
    try:
        wait_for(lambda: measured_so_far(tmp_path) >= 5)
        stall([process.pid if workers == 1 else wait_for(lambda: worker_of(process.pid))])
        check_stall_named(process, tmp_path)
    finally:
        process.kill()


@pytest.mark.slow
async def test_a_stop_is_seen_on_every_way_to_the_server(simulated, tmp_path):
    """All at once, since each takes as long as the stop."""
    async with proxy("nginx", int(simulated.url.rpartition(":")[2]), tmp_path) as ports:
        https = f"https://localhost:{ports[1]}"
        ways = [
            (simulated.url, "user"),
            (simulated.url, "httpx"),
            (https, "user"),
            (https, "httpx"),
        ]
        folders = [tmp_path / str(i) for i in range(len(ways))]
        runs = [
            start_run(folder, url, ONE_USER, 1, transport)
            for folder, (url, transport) in zip(folders, ways, strict=True)
        ]
        try:
            for folder in folders:
                wait_for(lambda folder=folder: measured_so_far(folder) >= 3)
            stall([run.pid for run in runs])
            for run, folder in zip(runs, folders, strict=True):
                check_stall_named(run, folder)
        finally:
            for run in runs:
                run.kill()
