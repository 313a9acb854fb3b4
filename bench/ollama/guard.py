"""Stands between this program and a server it started, so that the server never outlives it.

Run as a script, in a process of its own: starts the command, waits, and stops it and all its
children as soon as standard input ends, which the operating system sees to even if the parent was
killed. Only the standard library is imported at the start, so it is up in milliseconds.

Usage: guard.py LOG_FILE GRACE_SECONDS COMMAND [ARGUMENT...]

It writes one line to standard output: the server's process id, or "!" and why it did not start.
What the server prints goes to the log, of which the begin and the end are kept if it gets long.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

LOG_HEAD_BYTES = 64 * 1024
LOG_TAIL_BYTES = 192 * 1024
"""What is kept of a log: its begin (settings, GPUs, layers, KV cache) and its end."""

LOG_LIMIT_BYTES = 4 * 1024 * 1024
"""A log file that grows beyond this is cut down to the two."""

GAP = re.compile(rb"\n\.\.\. ([\d,]+) bytes left out \.\.\.\n")

MARK_VARIABLE = "OLLAMA_BENCH_SERVER"
"""Set for the server to something unique: all that it starts has it, detached or not."""

_POSIX = sys.platform != "win32"
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_TICK_S = 0.05
_DRAINED_S = 1.0


def main() -> int:
    """Run the command until it ends or standard input does."""
    log_file, grace, *command = sys.argv[1:]
    mark = secrets.token_hex(8)
    try:
        with open(log_file, "ab"):  # noqa: PTH123 - pathlib would only slow the start
            pass
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=_POSIX,
            env={**os.environ, MARK_VARIABLE: mark},
        )
    except (OSError, ValueError) as error:
        print(f"!{getattr(error, 'strerror', None) or error}", flush=True)
        return 127
    print(server.pid, flush=True)
    assert server.stdout is not None
    keeping = threading.Thread(
        target=keep_log, args=(server.stdout.fileno(), log_file), daemon=True
    )
    keeping.start()
    threading.Thread(target=_wait_for_parent, args=(server, float(grace)), daemon=True).start()
    # The terminal's Ctrl-C is for the parent to handle; it closes our input when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _stop(server, float(grace)))
    code = server.wait()
    _end_group(server, _KILL)
    _end_detached(mark)
    keeping.join(_DRAINED_S)
    return code if code >= 0 else 128 - code


def keep_log(source: int, path: str) -> None:
    """Copy what comes from a descriptor to a log file until it ends; the file stays bounded.

    A full disk stops no server: what cannot be written is dropped.
    """
    size = left_out = gap = 0
    while data := os.read(source, 1 << 16):
        try:
            if size > LOG_LIMIT_BYTES:
                left_out += size - gap - LOG_HEAD_BYTES - LOG_TAIL_BYTES
                gap = _cut(path, left_out)
                size = LOG_HEAD_BYTES + gap + LOG_TAIL_BYTES
            with open(path, "ab", buffering=0) as log:  # noqa: PTH123
                log.write(data)
            size += len(data)
        except OSError:
            continue


def _cut(path: str, left_out: int) -> int:
    """Take the middle out of a log; how many bytes say so in its place."""
    with open(path, "r+b") as log:  # noqa: PTH123
        log.seek(-LOG_TAIL_BYTES, os.SEEK_END)
        tail = log.read()
        log.seek(LOG_HEAD_BYTES)
        log.truncate()
        gap = f"\n... {left_out:,} bytes left out ...\n".encode()
        log.write(gap + tail)
    return len(gap)


def _wait_for_parent(server: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(0, 4096):
        pass
    _stop(server, grace)


def _stop(server: subprocess.Popen[bytes], grace: float) -> None:
    _end_group(server, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(_TICK_S)
    if server.poll() is None:
        _end_group(server, _KILL)


def _end_group(server: subprocess.Popen[bytes], number: int) -> None:
    try:
        if sys.platform != "win32":
            os.killpg(server.pid, number)
        elif server.poll() is None:
            server.terminate()
    except (ProcessLookupError, PermissionError):
        pass


def _end_detached(mark: str) -> None:
    """End what the server has left in sessions of its own: it is known by its environment."""
    try:
        import psutil
    except ImportError:  # not where this isolated process looks: the group has had to do
        return
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK_VARIABLE) == mark:
                process.terminate()
                left.append(process)
        except (psutil.Error, OSError, UnicodeError):
            continue
    _, stubborn = psutil.wait_procs(left, timeout=2.0)
    for process in stubborn:
        try:
            process.kill()
        except psutil.Error:
            continue


if __name__ == "__main__":
    sys.exit(main())
