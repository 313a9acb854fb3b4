"""A worker process: sends its share of every block. Run as `python -m bench.load.worker`.

It reads orders on stdin and writes words on stdout (`bench.load.messages`), and ends when stdin is
closed, so it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any, BinaryIO

from bench.clock import RealClock
from bench.errors import BenchError
from bench.load.block import connections_wanted
from bench.load.measure import Measured, measure_closed, measure_open, warm_up
from bench.load.messages import (
    Arrived,
    Departed,
    Done,
    Failed,
    Init,
    Measure,
    StopSending,
    WarmedUp,
    WarmUp,
    Word,
    decode_order,
    encode,
)
from bench.load.observer import Silent
from bench.load.quiet import quiet
from bench.load.sender import Sender, Share
from bench.load.stop import Stop
from bench.load.workload import Workload, workload
from bench.ollama.address import Address
from bench.ollama.exchange import Transport
from bench.ollama.transports import choose_transport, run_measuring
from bench.results.record import Phase


class _Parent(Silent):
    """Tells the parent what happens."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def say(self, word: Word) -> None:
        """Write one line."""
        self._out.write(encode(word))
        self._out.flush()

    def request_sent(self, phase: Phase) -> None:
        """One more in flight."""
        self.say(Departed(phase))


class Worker:
    """Sends one share of every block."""

    def __init__(self, init: Init, parent: _Parent) -> None:
        self._init = init
        self._parent = parent
        self._share = Share(init.worker, init.of)
        self._clock = RealClock()
        self._transports: dict[str, Transport] = {}
        self.stop = Stop()

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()

    async def warm_up(self, order: WarmUp) -> tuple[Sender, Workload]:
        """Open connections, and warm up."""
        case, block = order.case, order.block
        transport = self._transport(case.target)
        await transport.open(max(1, self._share.count(connections_wanted(case))))
        load = workload(case, block, self._init.plan, order.rates, self._init.keep_text)
        sender = Sender(
            case,
            block,
            transport,
            self._clock,
            self._init.origin_ns,
            lambda record: self._parent.say(Arrived(record)),
            self._parent,
            self.stop,
            self._share,
        )
        finished = await warm_up(sender, load.make, case.warmup)
        self._parent.say(WarmedUp(finished))
        return sender, load

    async def measure(self, order: Measure, sender: Sender, load: Workload) -> None:
        """Measure from the moment that all workers were given."""
        exact = self._transport(sender.case.target).name != "httpx"
        with quiet(exact):
            self._parent.say(Done(await self._measured(order, sender, load)))

    async def _measured(self, order: Measure, sender: Sender, load: Workload) -> Measured:
        if sender.case.load.loop == "open":
            return await measure_open(sender, load.make, order.start_ns, load.arrivals_ns)
        return await measure_closed(sender, load.make, order.start_ns, order.ramp_s, load.think)

    def _transport(self, target: str) -> Transport:
        if target not in self._transports:
            init = self._init
            address = Address.parse(init.urls[target], insecure=init.insecure, ca_file=init.ca_file)
            chosen, _ = choose_transport(address, init.transports[target])
            self._transports[target] = chosen
        return self._transports[target]


async def _serve(orders: asyncio.Queue[bytes], parent: _Parent) -> None:
    init = decode_order(await orders.get())
    assert isinstance(init, Init)
    worker = Worker(init, parent)
    todo: asyncio.Queue[WarmUp | Measure] = asyncio.Queue()
    work = asyncio.ensure_future(_work(worker, todo))
    try:
        while (line := await _next(orders, work)) is not None:
            order = decode_order(line)
            if isinstance(order, StopSending):
                worker.stop.request()
            elif isinstance(order, WarmUp | Measure):
                todo.put_nowait(order)
    finally:
        work.cancel()
        await worker.aclose()


async def _next(orders: asyncio.Queue[bytes], work: asyncio.Future[None]) -> bytes | None:
    """The next order; None when there is no parent any more, or the work has failed."""
    line = asyncio.ensure_future(orders.get())
    both: set[asyncio.Future[Any]] = {line, work}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if line.done():
        return line.result() or None
    line.cancel()
    work.result()
    return None


async def _work(worker: Worker, todo: asyncio.Queue[WarmUp | Measure]) -> None:
    current: tuple[Sender, Workload] | None = None
    while True:
        order = await todo.get()
        if isinstance(order, WarmUp):
            current = await worker.warm_up(order)
        elif current is not None:
            await worker.measure(order, *current)


async def _main() -> int:
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = _Parent(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        loop.call_soon_threadsafe(orders.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    try:
        await _serve(orders, parent)
    except BenchError as error:
        parent.say(Failed(str(error)))
        return int(error.exit_code)
    except BrokenPipeError:  # the parent is gone
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run_measuring(_main()))
