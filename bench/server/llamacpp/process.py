"""One llama.cpp server in a process of its own: start, find its address, watch it, stop it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.server.engine import EngineFailure
from bench.server.llamacpp.model_file import cache_dir

_CHILD = Path(__file__).with_name("child.py")
_STOP_S = 5.0
_LOGS_KEPT = 20
_numbers = itertools.count(1)

_BUFFER = re.compile(r"^.*?(\S+)\s+(?:model|KV|compute|output|RS) buffer size\s*=\s*([\d.]+) MiB")
_TIMESTAMP = re.compile(r"^[\d.]+ [EWI] ")


class EngineProcess:
    """A running llama.cpp server.

    Attributes:
        address: its base URL on the loopback interface.
        log: file that holds all it logged.
    """

    def __init__(self, process: asyncio.subprocess.Process, address: str, log: Path) -> None:
        self._process = process
        self.address = address
        self.log = log

    @classmethod
    async def start(cls, settings: Mapping[str, Any]) -> EngineProcess:
        """Start a server and wait until it has loaded its model and listens.

        Cancelling kills it. Settings are llama.cpp's parameters by dotted name, e.g. {"model.path":
        "x.gguf"}.

        Raises:
            EngineFailure: it ended instead; worded as Ollama words it.
        """
        log = _new_log()
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # do not look for modules beside the script
                str(_CHILD),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        try:
            reply = await _greet(process, settings)
        except asyncio.CancelledError:
            await _end(process, now=True)
            raise
        if "address" not in reply:
            await _end(process, now=False)
            status = process.returncode
            said = _last_error(log) or reply.get("error", "no message")
            raise EngineFailure(
                f"llama-server process has terminated: exit status {status}: {said}"
            )
        return cls(process, str(reply["address"]), log)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def buffers(self) -> tuple[int, int]:
        """Bytes that the model, its KV cache and its work space take: all, and those not on CPU.

        As Ollama does (0.30 on), from the sizes that llama.cpp logs while it loads.
        """
        return _buffers(self.log.read_text(encoding="utf-8", errors="replace"))

    async def stop(self) -> None:
        """End it: at once, but in order; by force if it does not obey."""
        await _end(self._process, now=False)


def _new_log() -> Path:
    """A fresh log file (temporary, if there is no usable cache); all but the newest are removed."""
    folder = cache_dir() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"ollama-bench-{os.getpid()}-")) / "llama.cpp.log"
    with suppress(OSError):  # another process clears up as well
        old = sorted(folder.glob("llama.cpp-*.log"), key=lambda path: path.stat().st_mtime_ns)
        for path in old[: -_LOGS_KEPT + 1]:
            path.unlink()
    return folder / f"llama.cpp-{os.getpid()}-{next(_numbers)}.log"


async def _greet(
    process: asyncio.subprocess.Process, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Hand over the settings and wait for the one line of answer; {} if the process ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(dict(settings)).encode() + b"\n")
    try:
        await process.stdin.drain()
        line = await process.stdout.readline()
    except (BrokenPipeError, ConnectionResetError):
        return {}
    return json.loads(line) if line else {}


async def _end(process: asyncio.subprocess.Process, *, now: bool) -> None:
    """Wait for the process to end after closing its stdin; kill it if `now` or if it stays."""
    if process.stdin is not None:
        process.stdin.close()
    if now and process.returncode is None:
        process.kill()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_error(log: Path) -> str:
    """The last error that llama.cpp logged, without its time stamp."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if _TIMESTAMP.match(line) and line.split(" ", 2)[1] == "E"]
    causes = [line for line in errors if "exiting due to" not in line] or errors
    return causes[0].split(" ", 2)[2].strip() if causes else ""


def _buffers(log: str) -> tuple[int, int]:
    total = elsewhere = 0.0
    for line in log.splitlines():
        if found := _BUFFER.match(line):
            size = float(found[2])
            total += size
            elsewhere += 0.0 if found[1].startswith("CPU") or found[1].endswith("_Host") else size
    return round(total * 2**20), round(elsewhere * 2**20)
