"""Standard output and standard error that take nothing, little, or not every character."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from damaged_files import Figures
from odd_environment import QUICK

from bench.results.directory import read_run

ENDS_WITHIN_S = 120.0
"""On a busy machine; a hang is one that would never end."""
WAYS = ("kept", "full", "closed", "gone", "head", "cp1252", "ascii", "utf-16")
COMMANDS = {
    "run": ("run", "quick.yaml", "-m", "sim-small", "--no-history"),
    "run --json": ("run", "quick.yaml", "-m", "sim-small", "--no-history", "--json"),
    "report": ("report", "run", "--format", "console"),
    "report as CSV": ("report", "run", "--format", "csv"),
    "compare": ("compare", "run", "run2", "--no-history"),
    "history": ("history", "list", "--history", "h.sqlite"),
    "models": ("models",),
    "plan": ("plan", "quick.yaml", "-m", "sim-small", "--no-history"),
    "scenarios": ("scenarios", "show", "chat"),
    "help": ("help", "metrics"),
}


def try_streams(whole: Path, url: str, count: int, seed: int) -> Figures:
    """Runs commands with two streams drawn from `WAYS`, and compares their exit codes.

    Args:
        whole: a folder as `whole_files.made_whole` makes it.
        url: of a server that has sim-small.
        count: of commands.
        seed: of the draws.
    """
    rng, figures = random.Random(seed), Figures()
    (whole / "quick.yaml").write_text(QUICK)
    expected: dict[str, int | None] = {}
    for number in range(count):
        name = list(COMMANDS)[number % len(COMMANDS)]
        out, err = rng.choice(WAYS), rng.choice(WAYS)
        if name not in expected:
            expected[name] = _code(name, "kept", "kept", whole, url)[0]
        started = time.monotonic()
        code, said = _code(name, out, err, whole, url)
        measuring = name.startswith(("run", "compare"))
        # What is measured may be valid once and not the next time: that is the machine's doing.
        allowed = {0, 5} if name.startswith(("run", "plan")) else {expected[name]}
        if out == "full" and not measuring:
            allowed = {code or 2 for code in allowed}
        wrong = [] if code in allowed else [f"exit code {code}, not {allowed}: {said[-300:]!r}"]
        wrong += ["Traceback"] if b"Traceback" in said else []
        wrong += _measured(whole) if name.startswith("run") else []
        if wrong:
            figures.failed.append(f"{name}, stdout {out}, stderr {err}: {wrong}")
        figures.tried += 1
        figures.slowest_s = max(figures.slowest_s, time.monotonic() - started)
    return figures


def _measured(whole: Path) -> list[str]:
    """What is missing of the newest run: a lost output costs no record."""
    run = read_run(max((whole / "runs").iterdir(), key=lambda p: p.stat().st_mtime_ns))
    complete = run.info.status == "complete" and len(run.records) == 2
    return [] if complete and (run.path / "summary.json").exists() else ["records are missing"]


def _code(name: str, out: str, err: str, folder: Path, url: str) -> tuple[int | None, bytes]:
    """Exit code, None for a hang; and what could be read."""
    read: list[IO[bytes]] = []
    said: list[bytes] = []
    encoding = next((w for w in (out, err) if w in ("cp1252", "ascii", "utf-16")), "")
    environment = {**os.environ, "OLLAMA_HOST": url, "TMPDIR": str(folder)}
    if encoding:
        environment |= {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    closed = [number for number, way in ((1, out), (2, err)) if way == "closed"]
    shell = " ".join(['exec "$@"', *(f"{number}>&-" for number in closed)])
    streams = [_stream(way, read) for way in (out, err)]
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "bench", *COMMANDS[name]],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=streams[0], stderr=streams[1],
    )  # fmt: skip
    for stream in streams:
        os.close(stream)
    ways = [way for way in (out, err) if way not in ("full", "gone", "closed")]
    readers = [
        threading.Thread(target=_read, args=(file, way == "head", said))
        for file, way in zip(read, ways, strict=True)
    ]
    for reader in readers:
        reader.start()
    try:
        code: int | None = process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = None
    for reader in readers:
        reader.join()
    return code, b"".join(said)


def _stream(way: str, read: list[IO[bytes]]) -> int:
    if way in ("full", "closed"):
        return os.open("/dev/full", os.O_WRONLY)
    reading, writing = os.pipe()
    if way == "gone":
        os.close(reading)
    else:
        read.append(os.fdopen(reading, "rb", buffering=0))
    return writing


def _read(file: IO[bytes], little: bool, said: list[bytes]) -> None:
    while piece := file.read(50 if little else 65536):
        said.append(piece)
        if little:
            break
    file.close()
