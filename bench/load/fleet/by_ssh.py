"""Dask on the hosts of a file, started by ssh."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from bench.errors import UsageError

ADVICE = (
    "Give the address of a Dask scheduler (tcp://HOST:8786), local:N, or a file with one host a "
    "line; see: ollama-bench help fleet"
)
NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Of a scheduler: it shows nothing, and takes any port for that; else a fixed one, which it warns
of if it is taken."""
_CONNECT_S = 10
_WHILE_CONNECTED = """
import os, subprocess, sys, threading
there = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    while os.read(0, 999):
        pass
    there.terminate()
    try:
        there.wait(3)
    except subprocess.TimeoutExpired:
        there.kill()
threading.Thread(target=watch, daemon=True).start()
sys.exit(there.wait())
"""
"""Runs a command for as long as ssh is connected: what ssh starts would outlive a run that is
killed. Sent as text, because a machine may have no ollama-bench, which Dask then finds."""


def ssh_cluster(distributed: Any, file: Path) -> Any:
    """A cluster on the hosts of a file: its scheduler on the first, a sender on each.

    Raises:
        UsageError: the file names no host, or ssh cannot be used.
    """
    hosts, options, pythons = read_hosts(file.read_text(encoding="utf-8"), str(file))
    try:
        import asyncssh  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--load-from {file}: Dask needs asyncssh to reach hosts by ssh", "pip install asyncssh"
        ) from error
    commands = [f"{p} -P -c {shlex.quote(_WHILE_CONNECTED)} {p}" for p in pythons]
    try:
        return distributed.SSHCluster(
            [hosts[0], *hosts],
            connect_options=[options[0], *options],
            scheduler_options=NO_DASHBOARD,
            worker_options={"nthreads": 1},
            remote_python=[commands[0], *commands],
        )
    except Exception as error:  # of many libraries; all mean that a host cannot be used
        raise UsageError(
            f"--load-from {file}: {error}",
            f"This must work for every host, without a password: "
            f"ssh {hosts[0]} {pythons[0]} -m distributed.cli.dask_spec --version",
        ) from error


def read_hosts(text: str, file: str) -> tuple[list[str], list[dict[str, Any]], list[str]]:
    """Hosts, how ssh connects to each, and the Python of each (else at the same place as here).

    A line is `[USER@]HOST [PYTHON]`; what follows a # is a comment.

    Raises:
        UsageError: there is none, or a line has more in it.
    """
    hosts, options, pythons = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        parts = shlex.split(line, comments=True)
        if not parts:
            continue
        if len(parts) > 2:
            raise UsageError(f"{file}, line {number}: a line is [USER@]HOST [PYTHON]", ADVICE)
        user, _, host = parts[0].rpartition("@")
        hosts.append(host)
        options.append({"connect_timeout": _CONNECT_S} | ({"username": user} if user else {}))
        pythons.append(shlex.quote(parts[1] if len(parts) == 2 else sys.executable))
    if not hosts:
        raise UsageError(f"{file} names no host", ADVICE)
    return hosts, options, pythons
