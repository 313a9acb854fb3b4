"""The agent of a sender: a process on the sender's machine, run by `bench.children.module_command`.

It starts the sending process (`bench.load.worker`), which is the one that sends on any machine,
and carries its orders and words. All it says goes into a file first (`bench.load.fleet.spool`) and
from there to the run's machine, which says how much of it has arrived for good; so a slow or
broken connection costs neither memory nor records, and is nothing the sending process notices.
A second connection asks for the time, to compare the clocks.

It reads one line of JSON on stdin, says its port on stdout, and ends with the run, or when nobody
has asked for the time for `SILENCE_S`: a sender never goes on alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import ssl
import sys
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from functools import partial
from pathlib import Path

import msgspec

from bench.children import ended_how, leave_signals_to_parent, module_command
from bench.load.fleet.spool import Spool, spool_folder
from bench.load.messages import Failed, StopSending, encode

SILENCE_S = 6.0
"""After so long without a message, the other side or the network is gone."""
_LINGER_S = 2.0
"""After its run has gone, what was said can still be fetched for so long."""
_LONGEST_LINE = 2**26


class AgentStart(msgspec.Struct, frozen=True):
    """What an agent needs to start.

    Attributes:
        token: who knows it may give orders.
        run, sender: names of its file.
        encrypted: whether the connections must be.
        bind: the address to listen on.
        tls: certificate, key and authority (PEM) to listen with; empty = no encryption.
    """

    token: str
    run: str
    sender: str
    encrypted: bool = False
    bind: str = ""
    tls: tuple[str, str, str] | None = None


class Hello(msgspec.Struct, frozen=True):
    """The first line of every connection, which wants "words" (from byte `start` on) or "time"."""

    token: str
    wants: str
    start: int = 0


ACK = b"#ack "
"""With a number: so many bytes have arrived for good."""
END = b"#end\n"
"""The run needs this sender no more."""


class Agent:
    """Carries between one sending process and the run's machine."""

    def __init__(self, order: AgentStart, folder: Path) -> None:
        self._order = order
        self._spool = Spool(folder, order.run, order.sender)
        self._acked = 0
        self._process: Process
        self._grown = asyncio.Event()
        self._said_all = False
        self._heard_s = time.monotonic()
        self._over = asyncio.Event()
        self._wanted = False
        self._fetched = asyncio.Event()

    async def serve(self) -> int:
        """Listen; the port."""
        tls = server_context(self._order.tls) if self._order.tls else None
        listen = partial(asyncio.start_server, self._meet, limit=_LONGEST_LINE, ssl=tls)
        try:
            self._server = await listen(self._order.bind, 0)
        except OSError:  # not an address of this machine: behind a translated one, say
            self._server = await listen(None, 0)
        self._process = await asyncio.create_subprocess_exec(
            *module_command("bench.load.worker"), stdin=PIPE, stdout=PIPE
        )
        self._heard_s = time.monotonic()  # whoever has it started calls at once, or is gone
        self._work = [asyncio.ensure_future(c) for c in (self._keep_words(), self._listen())]
        return int(self._server.sockets[0].getsockname()[1])

    async def until_over(self) -> None:
        """Return when there is nothing left to do; what nobody fetched stays in its file."""
        await self._over.wait()
        await self._end_sender()
        if self._wanted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._fetched.wait(), _LINGER_S)
        self._server.close()
        self._spool.close(keep=self._wanted and self._acked < self._spool.size)

    async def _listen(self) -> None:
        """End when the run's machine is silent."""
        while time.monotonic() - self._heard_s < SILENCE_S:
            await asyncio.sleep(0.25)
        self._over.set()

    async def _end_sender(self) -> None:
        """What is in flight is cancelled and gets its record."""
        process = self._process
        assert process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            if self._wanted and process.returncode is None:
                process.stdin.write(encode(StopSending()) * 2)
                await process.stdin.drain()
                await asyncio.sleep(0.5)
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 3.0)
        if process.returncode is None:
            process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._work[0], 2.0)

    async def _keep_words(self) -> None:
        process = self._process
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # no room: this ends, and whoever listens sees that
            while data := await process.stdout.read(1 << 16):
                self._spool.append(data)
                self._grown.set()
            code = await process.wait()
            if not self._over.is_set():
                self._spool.append(b"\n" + encode(Failed(ended_how(code))))
            self._said_all = True
        if not self._said_all:
            self._over.set()
        self._grown.set()

    async def _meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            hello = msgspec.json.decode(await reader.readline(), type=Hello)
            if not hmac.compare_digest(hello.token.encode(), self._order.token.encode()):
                return
            self._heard_s = time.monotonic()
            if hello.wants == "time":
                await self._tell_time(reader, writer)
            else:
                await self._carry(reader, writer, hello.start)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _tell_time(self, reader: StreamReader, writer: StreamWriter) -> None:
        while await reader.readline():
            there_ns = time.monotonic_ns()
            self._heard_s = there_ns / 1e9
            writer.write(b"%d %d\n" % (there_ns, time.monotonic_ns()))

    async def _carry(self, reader: StreamReader, writer: StreamWriter, start: int) -> None:
        words = asyncio.ensure_future(self._send_words(writer, start))
        self._wanted = True
        try:
            await self._take_orders(reader)
        finally:
            words.cancel()
            self._over.set()

    async def _take_orders(self, reader: StreamReader) -> None:
        assert self._process.stdin is not None
        while line := await reader.readline():
            if line.startswith(ACK):
                self._acked = max(self._acked, int(line[len(ACK) :]))
                if self._said_all and self._acked >= self._spool.size:
                    self._fetched.set()
            elif line == END:
                self._wanted = False
                return
            elif line.endswith(b"\n") and not self._over.is_set():
                with contextlib.suppress(OSError):
                    self._process.stdin.write(line)
                    await self._process.stdin.drain()

    async def _send_words(self, writer: StreamWriter, start: int) -> None:
        while True:
            self._grown.clear()
            while data := self._spool.read(start):
                writer.write(data)
                start += len(data)
                await writer.drain()
            if self._said_all:
                writer.write_eof() if writer.can_write_eof() else writer.close()
                return
            await self._grown.wait()


def server_context(tls: tuple[str, str, str]) -> ssl.SSLContext:
    """What an agent listens with: only a client that the authority signed is let in."""
    certificate, key, authority = tls
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads files only
        path = Path(folder) / "pair.pem"
        path.touch(mode=0o600)
        path.write_text(f"{certificate}\n{key}")
        context.load_cert_chain(path)
    return context


async def _main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=AgentStart)
    leave_signals_to_parent(terminate=False)
    agent = Agent(order, spool_folder())
    port = await agent.serve()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # Whoever started it may end first: nothing is read of these then.
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(silent, stream)
    await agent.until_over()


if __name__ == "__main__":
    asyncio.run(_main())
