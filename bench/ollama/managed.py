"""Servers that this program starts for a run and stops after it.

Each gets a free loopback port and an environment of its own, so two versions or two settings can
stand side by side. A server that was not started here is never touched: all that is ever signalled
is the session made for the command, by a guard process that ends with this one
(`bench.ollama.guard`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.errors import ServerUnreachable, UsageError
from bench.hidden import is_harmless, remember_environment
from bench.ollama.guard import GAP, LOG_HEAD_BYTES, LOG_TAIL_BYTES
from bench.wire.http_client import httpx

READY_S = 120.0
"""How long a server may take until it answers: looking for GPUs takes Ollama tens of seconds."""

GRACE_S = 10.0
"""How long a server gets to end by itself before it is ended."""

_PORT_TRIES = 3
_POLL_S = 0.05
_ASKED_S = 2.0
_SETTLED_S = 2.0
_END_NOTICED_S = 0.3
_QUOTED_LINES = 8


@dataclass(frozen=True, slots=True)
class ManagedServer:
    """A server that was started here.

    Attributes:
        name: of the target.
        port: of this machine, where it listens.
        pid: of the server (not of its guard).
        guard: ends as soon as the server has.
        log: its whole log.
        settings: the environment variables it was given that are known to hold no secret.
        port_handed_on: the command gives its port to something else that may listen in its place,
            as `docker run -p {port}:11434` does.
    """

    name: str
    port: int
    pid: int
    guard: Process
    log: Path
    settings: dict[str, str]
    port_handed_on: bool

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def why_ended(self) -> str:
        """How it came to its end, with the end of its log; "" if it still runs."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.guard.wait()), _END_NOTICED_S)
        if self.guard.returncode is None:
            return ""
        return (
            f"target {self.name}: the server that was started ended during the run (exit code "
            f"{self.guard.returncode}){_end_of(self.log)}"
        )


@asynccontextmanager
async def managed_server(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    ready_s: float = READY_S,
) -> AsyncIterator[ManagedServer]:
    """Start a server, wait until it answers, and stop it in the end, however that comes.

    The command finds its address in OLLAMA_HOST, as `ollama serve` does; "{port}" in an argument is
    replaced by the port. `env` is added to this process's environment, `log` gets what the server
    prints.

    Raises:
        UsageError: the program does not exist or cannot be executed, or the environment sets
            OLLAMA_HOST.
        ServerUnreachable: it ended, or did not answer in time, or another program has its port;
            with the end of its log.
    """
    _check(name, command, env)
    remember_environment(env, os.environ)
    for attempt in range(1, _PORT_TRIES + 1):
        server = await _start(name, command, env, log)
        try:
            try:
                await _wait_until_ready(server, ready_s)
            except ServerUnreachable as error:
                taken = b"address already in use" in kept_log(log)[-4096:].lower()
                if attempt < _PORT_TRIES and (taken or isinstance(error, _PortTaken)):
                    continue
                raise
            yield server
            return
        finally:
            await _stop(server.guard)


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kept_log(log: Path) -> bytes:
    """What is kept of a server's log: begin and end, with a line on what was left out between.

    No more than that is read, however long it is.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            left_out = size - LOG_HEAD_BYTES - LOG_TAIL_BYTES
            if left_out <= 0:
                return file.read()
            head = file.read(LOG_HEAD_BYTES)
            if earlier := GAP.match(file.read(100)):
                left_out += int(earlier[1].replace(b",", b"")) - len(earlier[0])
            file.seek(-LOG_TAIL_BYTES, os.SEEK_END)
            return head + f"\n... {left_out:,} bytes left out ...\n".encode() + file.read()
    except OSError:
        return b""


def _check(name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
    if "OLLAMA_HOST" in env:
        raise UsageError(
            f"target {name}: env sets OLLAMA_HOST, but a started server gets a free port",
            "Remove OLLAMA_HOST from env; use a target with a url for a server of your own.",
        )
    program = command[0]
    if shutil.which(program, path=env.get("PATH", os.environ.get("PATH"))) is None:
        there = Path(program).exists()
        raise UsageError(
            f"target {name}: the program {program} "
            + ("cannot be executed" if there else "does not exist"),
            "Name the server's program with its path, e.g. [/opt/ollama-0.32/bin/ollama, serve].",
        )


async def _start(
    name: str, command: Sequence[str], env: Mapping[str, str], log: Path
) -> ManagedServer:
    port = free_port()
    arguments = [argument.replace("{port}", str(port)) for argument in command]
    guard = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(__file__).with_name("guard.py")),
        str(log),
        str(GRACE_S),
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, **env, "OLLAMA_HOST": f"127.0.0.1:{port}"},
        start_new_session=os.name == "posix",
    )
    assert guard.stdout is not None
    line = (await guard.stdout.readline()).decode(errors="replace").strip()
    if not line.isdigit():
        await _stop(guard)
        raise UsageError(
            f"target {name}: {command[0]} could not be started: {line.lstrip('!') or 'no reason'}"
        )
    settings = {k: v for k, v in env.items() if is_harmless(k)}
    handed_on = any("{port}" in argument for argument in command)
    return ManagedServer(name, port, int(line), guard, log, settings, handed_on)


class _PortTaken(ServerUnreachable):
    """Another program took the port between its choice and the server's start."""


async def _wait_until_ready(server: ManagedServer, ready_s: float) -> None:
    """Wait until the server answers: itself, not another program that has come to have its port."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    somebody_answered = False
    async with httpx.AsyncClient(base_url=server.url, timeout=_ASKED_S, trust_env=False) as client:
        while server.guard.returncode is None and loop.time() <= begun + ready_s:
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_ASKED_S):  # what answers may never end
                    if (await client.get("/api/version")).status_code == httpx.codes.OK:
                        own = listens(server.pid, server.port)
                        # Where that cannot be known, a server that has not ended for a while has
                        # not failed to get its port.
                        unsure = own is None or server.port_handed_on
                        if own or (unsure and loop.time() - begun > _SETTLED_S):
                            return
                        somebody_answered = True
            await asyncio.sleep(_POLL_S)
    how, code = f"did not answer within {ready_s:g} s", server.guard.returncode
    if code is not None:
        how = f"ended at once (exit code {code})"
        how += "; it must stay in the foreground, as `ollama serve` does" if code == 0 else ""
    elif somebody_answered:
        how = f"does not listen there after {ready_s:g} s"
    if somebody_answered:
        raise _PortTaken(
            f"target {server.name}: another program answers at {server.url}, and the server that "
            f"was started {how}{_end_of(server.log)}"
        )
    raise ServerUnreachable(f"target {server.name}: the server {how}{_end_of(server.log)}")


async def _stop(guard: Process) -> None:
    """Close the guard's input, which makes it stop the server; it is given the time for that."""
    assert guard.stdin is not None
    guard.stdin.close()
    waiting = asyncio.ensure_future(guard.wait())
    try:
        # Shielded: if this task is cancelled once more, the server must still be stopped.
        await asyncio.shield(asyncio.wait_for(asyncio.shield(waiting), GRACE_S + 5.0))
    except TimeoutError:
        with suppress(ProcessLookupError):
            guard.kill()
        await waiting


def _end_of(log: Path) -> str:
    lines = kept_log(log).decode(errors="replace").splitlines()[-_QUOTED_LINES:]
    return ". The end of its log:\n    " + "\n    ".join(lines) if lines else ", and said nothing"


def listens(pid: int, port: int) -> bool | None:
    """Whether a process, or one that it started, listens on a port of this machine.

    Returns:
        None if the system does not tell.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None
    listening = [_one_listens(one, port) for one in family]
    return True if True in listening else None if None in listening else False


def _one_listens(process: psutil.Process, port: int) -> bool | None:
    # Renamed in psutil 6; the old name goes away.
    connections = getattr(process, "net_connections", None) or process.connections
    try:
        found = connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return None
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in found)
