"""Killing a run at any moment, and looking at what is left.

What must be there is told by the embedded server's truth log, not by the program under test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.results.directory import read_run
from bench.server.embedded import EmbeddedServer
from bench.wire.exchange import Outcome

SCENARIO = """
schema: 1
name: killed
prompts: [Hello, "How are you?", "What is new?"]
options: {num_predict: 12}
blocks: 2
warmup: 2
load: {closed: {users: [2], requests: 20}}
"""
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
    if hasattr(signal, name)
]
PHASES = ("start", "loading", "measuring", "between", "reporting")
ENDS_WITHIN_S = 60.0
"""On a busy machine; a hang is one that would never end."""
SETTLED_S = 1.0
"""A reply that the server finished so long before a SIGKILL must be in the journal."""
_MARK = "OLLAMA_BENCH_TEST_KILL"


@dataclass(frozen=True)
class Kill:
    """What came of one kill.

    Attributes:
        wrong: what did not hold; empty = all did.
        code: exit code; negative = ended by that signal.
    """

    number: int
    phase: str
    workers: int
    code: int | None
    wrong: tuple[str, ...]
    records: int


def kill_a_run(
    folder: Path,
    server: EmbeddedServer,
    number: int,
    phase: str,
    workers: int,
    moment: float,
    group: bool = False,
) -> Kill:
    """Start a run, send it a signal in a phase, and check all that must hold afterwards.

    Args:
        folder: an empty one.
        server: with a truth log; nobody else may use it meanwhile.
        number: of the signal.
        phase: of `PHASES`.
        workers: processes that send.
        moment: 0 to 1: how far into the phase.
        group: the signal goes to the run's children, too, as a terminal sends it.
    """
    (folder / "killed.yaml").write_text(SCENARIO)
    temp = folder / "temp"
    temp.mkdir()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    before = len(server.truth)
    command = [sys.executable, "-m", "bench", "run", "killed.yaml", "-m", "sim-small"]
    command += ["--host", server.url, "--workers", str(workers), "--no-history"]
    environment = {**os.environ, _MARK: mark, "TMPDIR": str(temp)}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_as_in_a_terminal,
        )
        _wait_for(phase, moment, folder, process)
        kept_before = len(_lines(folder))
        killed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if group and process.poll() is None:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        try:
            code: int | None = process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
    wrong = [] if code is not None else ["hangs"]
    wrong += _messages(folder, number, code)
    wrong += _left(mark, temp, number)
    records, lost = _kept(folder, server, before, number, killed_ns, kept_before)
    return Kill(number, phase, workers, code, (*wrong, *lost), records)


def _as_in_a_terminal() -> None:
    """`nohup` ignores SIGHUP, a shell SIGINT for what is in the background; children inherit it."""
    for number in SIGNALS:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)


def _wait_for(phase: str, moment: float, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Return at the moment of the signal, or when the run has ended."""

    def until(ready: Callable[[], bool]) -> None:
        while process.poll() is None and not ready():
            time.sleep(0.002)

    begun = time.monotonic()
    if phase == "start":
        # Not before the program has begun: what Python does with a signal before that is not ours.
        until(lambda: time.monotonic() - begun > 0.3 + moment)
    elif phase == "loading":
        until(lambda: bool(list(folder.glob("runs/*/run.json"))))
        time.sleep(moment * 0.1)
    elif phase == "measuring":
        until(lambda: len(_lines(folder)) >= 3 + moment * 36)
    elif phase == "between":
        until(lambda: len(_lines(folder)) >= 22)
        time.sleep(moment * 0.05)
    else:
        until(lambda: _finished(folder))
        time.sleep(moment * 0.8)


def _lines(folder: Path) -> list[bytes]:
    files = list(folder.glob("runs/*/requests.jsonl"))
    return files[0].read_bytes().splitlines(keepends=True) if files else []


def _finished(folder: Path) -> bool:
    files = list(folder.glob("runs/*/run.json"))
    return bool(files) and b'"status": "complete"' in files[0].read_bytes()


def _messages(folder: Path, number: int, code: int | None) -> list[str]:
    said = (folder / "err").read_text(errors="replace") + (folder / "out").read_text(
        errors="replace"
    )
    wrong = [f"{word}: {said[-2000:]}" for word in ("Traceback", "Fatal Python") if word in said]
    # It may have ended before the signal came: 0, or 5 on a machine too busy to be trusted.
    allowed = {-number, 0, 5} if number == signal.SIGKILL else {130, 0, 5}
    # Before the program could say what a signal means, the system's own meaning holds.
    if not (folder / "runs").exists():
        allowed |= {-number}
    if code is not None and code not in allowed:
        wrong.append(f"exit code {code}: {said[-500:]}")
    return wrong


def _left(mark: str, temp: Path, number: int) -> list[str]:
    """Processes and temporary files that outlived the run."""
    deadline = time.monotonic() + 20.0
    while left := _alive(mark):
        if time.monotonic() > deadline:
            for process in left:
                process.kill()
            return [f"left running: {[process.pid for process in left]}"]
        time.sleep(0.02)
    files = [p.name for p in temp.iterdir()] if number != signal.SIGKILL else []
    return [f"left in the temporary folder: {files}"] if files else []


def _alive(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _kept(
    folder: Path,
    server: EmbeddedServer,
    before: int,
    number: int,
    killed_ns: int,
    kept_before: int,
) -> tuple[int, list[str]]:
    """How many records there are, and what is lost of what had ended."""
    until_ns = killed_ns - round(SETTLED_S * 1e9) if number == signal.SIGKILL else None
    ended = [
        t
        for t in server.truth[before:]
        if t.path == "/api/chat" and t.metrics.get("eval_count") and not t.gone
        if until_ns is None or (t.end_ns or 0) < until_ns
    ]
    directories = list(folder.glob("runs/*"))
    if not directories:
        return 0, [f"no run directory for {len(ended)} ended requests"] if ended else []
    run = read_run(directories[0])
    ok = sum(r.outcome is Outcome.OK for r in run.records)
    lost = []
    if ok < len(ended):
        lost.append(f"lost: the server ended {len(ended)}, the journal has {ok}")
    if len(run.records) < kept_before - 1:
        lost.append(f"lost: {kept_before} lines before the kill, {len(run.records)} after")
    if run.torn_lines > (number == signal.SIGKILL):
        lost.append(f"{run.torn_lines} torn lines")
    return len(run.records), lost
