"""Ways to put calls on the wire, and the choice between them.

`kernel` where it can be: its stamps do not depend on what this process is doing. `user` for https,
Unix sockets and other systems. `httpx` where a proxy stands between. `fake` for tests, in memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bench.address import Address
from bench.errors import UsageError
from bench.wire.exchange import Transport
from bench.wire.proxies import proxy_for
from bench.wire.transports.fake import FakeTransport, ScriptedReply
from bench.wire.transports.httpx_reference import HttpxTransport
from bench.wire.transports.stamps import why_no_kernel_stamps
from bench.wire.transports.user import UserTransport

if sys.platform == "linux":
    from bench.wire.transports.kernel import KernelTransport

__all__ = [
    "TRANSPORTS",
    "FakeTransport",
    "HttpxTransport",
    "ScriptedReply",
    "UserTransport",
    "choose_transport",
    "run_measuring",
]

T = TypeVar("T")

TRANSPORTS = ("kernel", "user", "httpx")
"""Names that a user may force."""


def choose_transport(address: Address, forced: str | None = None) -> tuple[Transport, str]:
    """The best transport for an address, and why it is that one.

    Args:
        address: of the target.
        forced: a name of `TRANSPORTS` to use whatever is best.

    Raises:
        UsageError: the forced one is unknown or cannot reach this address.
    """
    if forced is not None:
        return _named(forced, address), "asked for"
    if proxy := proxy_for(address):
        return HttpxTransport(address, proxy), "the environment asks for a proxy"
    if address.unix_socket:
        return UserTransport(address), "a Unix socket: the kernel stamps TCP only"
    if address.scheme == "https":
        return UserTransport(address), "https: the kernel cannot stamp inside the encryption"
    why = why_no_kernel_stamps()
    if sys.platform == "linux" and not why:
        return KernelTransport(address), "plain http on Linux: the kernel stamps what arrives"
    return UserTransport(address), why


def run_measuring(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on the event loop that costs the transports least.

    They work on any loop; on this one a chunk costs some tenth less.
    """
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if sys.platform == "linux":
            from bench.wire.transports.direct_loop import DirectLoop

            factory = DirectLoop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    finally:
        main.close()  # Ctrl-C may come before it was begun


def _named(name: str, address: Address) -> Transport:
    if name == "kernel":
        if sys.platform == "linux":
            return KernelTransport(address)
        raise UsageError("the kernel transport needs Linux", "leave out --transport")
    if name == "user":
        return UserTransport(address)
    if name == "httpx":
        return HttpxTransport(address, proxy_for(address))
    raise UsageError(f"there is no transport {name!r}", f"choose one of {', '.join(TRANSPORTS)}")
