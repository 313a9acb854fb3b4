"""What Dask's workers run for us: plain functions from bytes to bytes, all JSON.

Dask looks a function up by its name here, so nothing of ours but bytes is ever unpickled.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from bench.children import module_command
from bench.cores import usable_cpus
from bench.load.fleet.agent import AgentStart
from bench.load.fleet.spool import kept_here, kept_lines, spool_folder


class Started(msgspec.Struct, frozen=True):
    """Where an agent listens; `error` says why there is none, "" if there is one."""

    port: int = 0
    error: str = ""


class SpoolAsked(msgspec.Struct, frozen=True):
    """Which files are meant.

    Attributes:
        run, sender: of one file; empty = of all whose agent has ended.
        start: from this byte on.
        forget: remove them instead.
    """

    run: str = ""
    sender: str = ""
    start: int = 0
    forget: bool = False


class Spooled(msgspec.Struct, frozen=True):
    """One file."""

    run: str
    sender: str
    lines: str


class MachineSeen(msgspec.Struct, frozen=True):
    """What a machine says of itself.

    Attributes:
        stamps: why the kernel does not stamp what arrives, "" if it does.
        descriptors: open files that a process may have; None = no limit is known.
        usable: cores that the sender may use; None = unknown.
        load_1m: processes that wanted a core, over the last minute; None = unknown.
    """

    name: str
    python: str
    cores: int
    stamps: str = ""
    descriptors: int | None = None
    load_1m: float | None = None
    usable: int | None = None


def start_agent(asked: bytes, dask_worker: Any = None) -> bytes:
    """Start an agent beside this Dask worker; it outlives the worker, so a run does not need it."""
    order = msgspec.json.decode(asked, type=AgentStart)
    try:
        tls = _tls_files(dask_worker.security) if order.encrypted else None
        order = msgspec.structs.replace(order, bind=str(dask_worker.ip), tls=tls)
        return msgspec.json.encode(_start(order))
    except (OSError, ValueError) as error:
        return msgspec.json.encode(Started(error=f"{type(error).__name__}: {error}"))


def _start(order: AgentStart) -> Started:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            module_command("bench.load.fleet.agent"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=sys.platform != "win32",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.close()
        line = process.stdout.readline()
        process.stdout.close()
        if not line.strip().isdigit():
            process.wait()
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            return Started(error=last[0] if last else "it ended by itself")
        return Started(int(line))


def spooled(asked: bytes) -> bytes:
    """What lies on this machine of runs that have not fetched it."""
    want = msgspec.json.decode(asked, type=SpoolAsked)
    found = []
    for kept in kept_here(spool_folder()):
        mine = (kept.run, kept.sender) == (want.run, want.sender)
        if not mine and (want.run or not kept.left):
            continue
        if want.forget:
            kept.path.unlink(missing_ok=True)
            continue
        lines = kept_lines(kept.path, want.start).decode(errors="replace")
        found.append(Spooled(kept.run, kept.sender, lines))
    return msgspec.json.encode(found)


def machine(_: bytes = b"") -> bytes:
    """What this machine is like."""
    from bench.wire.transports.stamps import why_no_kernel_stamps

    descriptors = load = None
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        descriptors = None if hard == resource.RLIM_INFINITY else hard
        load = os.getloadavg()[0]
    version = ".".join(str(part) for part in sys.version_info[:3])
    name, cores = socket.gethostname(), os.cpu_count() or 1
    seen = MachineSeen(
        name, version, cores, why_no_kernel_stamps(), descriptors, load, usable_cpus()
    )
    return msgspec.json.encode(seen)


def _tls_files(security: Any) -> tuple[str, str, str]:
    """Certificate, key and authority that a Dask worker has, as text (PEM)."""
    names = ("tls_worker_cert", "tls_worker_key", "tls_ca_file")
    return tuple(_pem(getattr(security, name)) for name in names)  # type: ignore[return-value]


def _pem(value: str | None) -> str:
    if not value:
        raise ValueError("this Dask worker has no certificate of its own: give it one")
    return value if "\n" in value else Path(value).read_text()
