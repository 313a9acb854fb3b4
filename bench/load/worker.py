"""A worker process: sends its share of every block. Run by `bench.children.module_command`.

It reads orders on stdin and writes words on stdout (`bench.load.messages`), and ends when stdin is
closed, so it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

from bench.address import Address
from bench.children import leave_signals_to_parent
from bench.clock import RealClock
from bench.errors import BenchError, ExitCode
from bench.load import messages
from bench.load.block import connections_wanted
from bench.load.measure import put_on
from bench.load.needs import descriptors_for, ensure_descriptors
from bench.load.observer import Silent
from bench.load.sender import Sender, Share, Surroundings
from bench.load.stop import Stop
from bench.load.warming import warm_up
from bench.load.watch import quiet
from bench.load.workload import BlockWorkload, workload
from bench.results.record import Phase
from bench.wire.exchange import Transport
from bench.wire.transports import choose_transport, run_measuring

_CONNECTIONS_TRIED = 3


class _Parent(Silent):
    """Tells the parent what happens."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def say(self, word: messages.Word) -> None:
        """Write one line."""
        self._out.write(messages.encode(word))
        self._out.flush()

    def request_sent(self, phase: Phase) -> None:
        """One more in flight."""
        self.say(messages.Departed(phase))


class WorkerLoop:
    """Sends one share of every block."""

    def __init__(self, init: messages.Init, parent: _Parent) -> None:
        self._init = init
        self._parent = parent
        self._share = Share(init.worker, init.of, thinned=init.elsewhere)
        self._clock = RealClock()
        self._transports: dict[str, Transport] = {}
        self._released = asyncio.Event()
        self.stop = Stop()
        self._around = Surroundings(
            self._clock,
            init.origin_ns,
            lambda record: parent.say(messages.Arrived(record)),
            parent,
            self.stop,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()

    async def warm_up(self, order: messages.WarmUp) -> tuple[Sender, BlockWorkload]:
        """Open connections, and warm up."""
        case, block = order.case, order.block
        transport = self._transport(case.target)
        await transport.open(max(1, len(self._share.each(connections_wanted(case)))))
        load = workload(case, block, self._init.plan, order.rates, self._init.keep_text)
        sender = Sender(case, block, transport, self._around, self._share)
        finished = await warm_up(sender, load.make, case.warmup)
        rtt_ns = await self._server_rtt_ns(case.target)
        self._parent.say(messages.WarmedUp(finished, rtt_ns, transport.name))
        return sender, load

    async def measure(self, order: messages.Measure, sender: Sender, load: BlockWorkload) -> None:
        """Measure from the moment that all workers were given."""
        self._released.clear()
        with quiet(self._transport(sender.case.target).name != "httpx"):
            released = self._until_released
            measured = await put_on(sender, load, order.start_ns, order.ramp_s, released)
            self._parent.say(messages.Done(measured))

    async def _server_rtt_ns(self, target: str) -> int | None:
        """Shortest time of a few to open a connection: one round trip on the network."""
        address = Address.parse(self._init.urls[target])
        if not self._init.elsewhere or address.unix_socket:
            return None
        took = []
        for _ in range(_CONNECTIONS_TRIED):
            begun_ns = self._clock.now_ns()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    _, writer = await asyncio.open_connection(address.host, address.port)
                took.append(self._clock.now_ns() - begun_ns)
                writer.close()
        return min(took, default=None)

    def release(self) -> None:
        """No worker has a measured request left."""
        self._released.set()

    async def _until_released(self) -> None:
        self._parent.say(messages.NoneMeasured())
        await self._released.wait()

    def _transport(self, target: str) -> Transport:
        if target not in self._transports:
            init = self._init
            address = Address.parse(init.urls[target], insecure=init.insecure, ca_file=init.ca_file)
            chosen, _ = choose_transport(address, init.transports[target] or None)
            self._transports[target] = chosen
        return self._transports[target]


async def _serve(orders: asyncio.Queue[bytes], parent: _Parent) -> None:
    init = messages.decode_order(await orders.get())
    assert isinstance(init, messages.Init)
    if init.elsewhere:  # else the limit is inherited
        ensure_descriptors(descriptors_for(init.plan, init.of))
    worker = WorkerLoop(init, parent)
    todo: asyncio.Queue[messages.WarmUp | messages.Measure] = asyncio.Queue()
    work = asyncio.ensure_future(_work(worker, todo))
    work.add_done_callback(lambda _: orders.put_nowait(b""))  # it ends only by an error
    try:
        while line := await orders.get():  # b"": there is no parent any more
            order = messages.decode_order(line)
            if isinstance(order, messages.StopSending):
                worker.stop.request()
            elif isinstance(order, messages.Release):
                worker.release()
            elif isinstance(order, messages.WarmUp | messages.Measure):
                todo.put_nowait(order)
        if work.done():
            work.result()
    finally:
        work.cancel()
        await worker.aclose()


async def _work(
    worker: WorkerLoop, todo: asyncio.Queue[messages.WarmUp | messages.Measure]
) -> None:
    current: tuple[Sender, BlockWorkload] | None = None
    while True:
        order = await todo.get()
        if isinstance(order, messages.WarmUp):
            current = await worker.warm_up(order)
        elif current is not None:
            await worker.measure(order, *current)


async def _main() -> int:
    leave_signals_to_parent()
    parent = _Parent(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        # Not through sys.stdin: the interpreter aborts if it ends while a thread holds its lock.
        with os.fdopen(os.dup(0), "rb") as given, contextlib.suppress(RuntimeError):
            for line in given:
                loop.call_soon_threadsafe(orders.put_nowait, line)
            loop.call_soon_threadsafe(orders.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    try:
        await _serve(orders, parent)
    except BenchError as error:
        parent.say(messages.Failed(str(error)))
        return int(error.exit_code)
    except BrokenPipeError:  # the parent is gone
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # a defect: the parent says it, with what was measured
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        parent.say(messages.Failed(what))
        return int(ExitCode.DEFECT)
    return 0


if __name__ == "__main__":
    sys.exit(run_measuring(_main()))
