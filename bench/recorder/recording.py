"""The proxy on a socket of this machine, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.address import Address
from bench.errors import UsageError
from bench.recorder.proxy import ClientSide, WallClock
from bench.recorder.writing import Writer

HOST = "127.0.0.1"
"""It listens here only: what passes is private, and the server behind it may let anyone in."""

_SWITCH_S = 1e-4
"""What passes waits at most so long for the thread that writes; Python's default is 5 ms."""


@asynccontextmanager
async def proxying(
    target: Address, writer: Writer, port: int, failed: Callable[[str], None]
) -> AsyncIterator[str]:
    """The proxy on this event loop; yields its URL.

    `failed` is called with why the server cannot be reached.

    Raises:
        UsageError: it cannot listen there, or the authority of an https server cannot be read.
    """
    loop, clock = asyncio.get_running_loop(), WallClock()
    tls = target.tls_context() if target.scheme == "https" else None
    clients: weakref.WeakSet[ClientSide] = weakref.WeakSet()

    def client() -> ClientSide:
        made = ClientSide(target, tls, clock, writer.take, failed)
        clients.add(made)
        return made

    try:
        server = await loop.create_server(client, HOST, port, backlog=1024)
    except OSError as error:
        raise _cannot_listen(port, error) from None
    patience = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        sys.setswitchinterval(patience)
        server.close()
        for one in list(clients):
            if one.transport is not None:
                one.transport.abort()
        await asyncio.sleep(0)  # connections learn of it, and end what they were recording


def _cannot_listen(port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        advice = "choose another with --port, or --port 0 for any free one"
        return UsageError(f"port {port} is in use", advice)
    return UsageError(f"cannot listen on {HOST}:{port}: {error.strerror or error}")


async def until_stopped(
    target: Address,
    writer: Writer,
    port: int,
    announce: Callable[[str], None],
    failed: Callable[[str], None],
) -> None:
    """Run the proxy until Ctrl-C or SIGTERM; `announce` is given its URL once it listens."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with proxying(target, writer, port, failed) as url:
        announce(url)
        await stop.wait()
