"""One of the processes that send a block, from the side of the process that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from bench.children import ended_how, module_command
from bench.load.messages import Failed, Init, Order, Word, decode_word, encode

if TYPE_CHECKING:
    from bench.load.fleet.link import RemoteSender

_LONGEST_LINE = 2**26


class WorkerDied(Exception):
    """A worker process ended, or said that it cannot go on."""


class WorkerProcess:
    """One child process, from the parent's side.

    Attributes:
        machine: name of its machine; "" = this one.
        head_start_s: how long an order may be on its way to it.
        name: as messages call it.
    """

    machine = ""
    head_start_s = 0.0

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(cls, init: Init) -> WorkerProcess:
        """Start one, and tell it of the run."""
        process = await asyncio.create_subprocess_exec(
            *module_command("bench.load.worker"),
            stdin=PIPE,
            stdout=PIPE,
            limit=_LONGEST_LINE,
            # Ctrl-C in a terminal must not reach it while it still starts.
            start_new_session=sys.platform != "win32",
        )
        worker = cls(f"worker process {init.worker + 1} of {init.of}", process)
        worker.tell(init)
        return worker

    def tell(self, order: Order) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(encode(order))

    async def hear(self) -> Word:
        """What it says next.

        Raises:
            WorkerDied: it says nothing any more.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            code = await self._process.wait()
            raise WorkerDied(f"{self.name} {ended_how(code)}")
        word = decode_word(line)
        if isinstance(word, Failed):
            raise WorkerDied(f"{self.name} failed: {word.message}")
        return word

    async def end(self) -> None:
        """Close its input, which makes it end; kill it if it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def clock(self) -> None:
        """It has this machine's clock."""


async def start_here(init: Init) -> Sequence[Worker]:
    """All processes of a run, on this machine.

    Raises:
        WorkerDied: one cannot be started.
    """
    starts = (WorkerProcess.start(replace(init, worker=number)) for number in range(init.of))
    ends = await asyncio.gather(*starts, return_exceptions=True)
    started = [end for end in ends if isinstance(end, WorkerProcess)]
    if failed := [end for end in ends if isinstance(end, BaseException)]:
        await asyncio.gather(*(worker.end() for worker in started))
        raise WorkerDied(f"worker processes cannot be started: {failed[0]}") from failed[0]
    return started


Worker: TypeAlias = "WorkerProcess | RemoteSender"
"""One sending process, wherever it runs; times of orders and words are on this machine's clock."""
StartAll: TypeAlias = Callable[[Init], Awaitable[Sequence[Worker]]]
