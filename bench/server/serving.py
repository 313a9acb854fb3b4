"""Listening: from a configuration to a running server, until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.clock import RealClock
from bench.errors import EngineError
from bench.server.app import App
from bench.server.config import Say, ServerConfig, build_app

_BACKLOG = 4096


@asynccontextmanager
async def listening(app: App, host: str, port: int) -> AsyncIterator[str]:
    """The server on a socket of this event loop; yields its URL.

    Raises:
        EngineError: it cannot listen there.
    """
    listener = _ListeningSocket(app, host, port)
    try:
        await listener.open()
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    app.refuse = listener.refuse_for
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{listener.port}"
    finally:
        listener.close()
        await app.aclose()


@dataclass
class _ListeningSocket:
    """The listening socket, which can be closed for a while, so that connections are refused."""

    app: App
    host: str
    port: int
    _server: asyncio.Server | None = None
    _reopening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        loop, app = asyncio.get_running_loop(), self.app
        self._server = await loop.create_server(
            app.listener, self.host, self.port, backlog=_BACKLOG
        )
        names = [sock.getsockname() for sock in self._server.sockets]
        self.port = names[0][1]
        app.loopback = all(ipaddress.ip_address(n[0]).is_loopback for n in names)

    def refuse_for(self, seconds: float) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reopening = asyncio.get_running_loop().create_task(self._reopen(seconds))

    async def _reopen(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.open()

    def close(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        if self._server is not None:
            self._server.close()


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> EngineError:
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return EngineError(
            f"port {port} of {host} is in use, perhaps by Ollama itself",
            "Choose another with --port, or --port 0 for any free one.",
        )
    return EngineError(
        f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
        "Give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them.",
    )


def serve(
    config: ServerConfig,
    announce: Callable[[App, str], None],
    *,
    say: Say = lambda _: None,
    until_closed: int | None = None,
) -> None:
    """Serve until interrupted (or terminated).

    `announce` gets the server and its URL once it listens. It also stops when the file descriptor
    `until_closed` is closed at the other end: the parent process has died.

    Raises:
        EngineError: it cannot start.
    """
    app = build_app(config, RealClock(), say)
    asyncio.run(_serve(app, config, announce, until_closed))


async def _serve(
    app: App, config: ServerConfig, announce: Callable[[App, str], None], until_closed: int | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A child leaves Ctrl-C, which reaches all of a terminal's processes, to its parent.
    numbers = (signal.SIGINT, signal.SIGTERM) if until_closed is None else (signal.SIGTERM,)
    for number in numbers:
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            loop.add_signal_handler(number, stop.set)
    async with listening(app, config.host, config.port) as url:
        announce(app, url)
        if until_closed is not None:
            _stop_when_closed(until_closed, stop)
        await stop.wait()


def _stop_when_closed(descriptor: int, stop: asyncio.Event) -> None:
    """Set `stop` when the pipe's other end is closed; in a thread, which works on all platforms."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 1024):
                pass
        with contextlib.suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, daemon=True).start()
