"""Stands between this program and a server it started, so that the server never outlives it.

Run as a script, in a process of its own: starts the command, waits, and stops it and all its
children as soon as standard input ends, which the operating system sees to even if the parent was
killed. Only the standard library is imported, so it is up in milliseconds.

Usage: guard.py LOG_FILE GRACE_SECONDS COMMAND [ARGUMENT...]

It writes one line to standard output: the server's process id, or "!" and why it did not start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

_POSIX = os.name == "posix"
_TICK_S = 0.05


def main() -> int:
    """Run the command until it ends or standard input does."""
    log_file, grace, *command = sys.argv[1:]
    try:
        with open(log_file, "ab") as log:  # noqa: PTH123 - pathlib would only slow the start
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=_POSIX,
            )
    except (OSError, ValueError) as error:
        print(f"!{getattr(error, 'strerror', None) or error}", flush=True)
        return 127
    print(server.pid, flush=True)
    threading.Thread(target=_wait_for_parent, args=(server, float(grace)), daemon=True).start()
    # The terminal's Ctrl-C is for the parent to handle; it closes our input when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _stop(server, float(grace)))
    code = server.wait()
    _end_group(server, signal.SIGKILL if _POSIX else signal.SIGTERM)
    return code if code >= 0 else 128 - code


def _wait_for_parent(server: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(0, 4096):
        pass
    _stop(server, grace)


def _stop(server: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the server and its children to end; after the grace period, end them."""
    _end_group(server, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(_TICK_S)
    if server.poll() is None:
        _end_group(server, signal.SIGKILL if _POSIX else signal.SIGTERM)


def _end_group(server: subprocess.Popen[bytes], number: int) -> None:
    """Signal the session that was started for the server: it, and what it started itself."""
    try:
        if _POSIX:
            os.killpg(server.pid, number)
        elif server.poll() is None:
            server.terminate()
    except (ProcessLookupError, PermissionError):
        pass


if __name__ == "__main__":
    sys.exit(main())
