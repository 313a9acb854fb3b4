"""The senders of a run on other machines: started by Dask, used as worker processes are."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from bench.address import Address
from bench.errors import ServerUnreachable, UsageError
from bench.load.block import PhaseSender, Sent
from bench.load.fleet.asker import Place
from bench.load.fleet.dask_cluster import DaskCluster, Spot, scheduler_gone
from bench.load.fleet.hosting import SpoolAsked, Spooled
from bench.load.fleet.link import RemoteSender
from bench.load.messages import Arrived, Init, decode_word
from bench.load.sender import Surroundings
from bench.load.target import OpenTarget
from bench.load.worker_process import Worker, WorkerDied
from bench.results.journal import REQUESTS_FILE, Journal, read_records
from bench.results.record import RequestRecord
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Block, Case

_RESCUE_S = 2.5


class Fleet:
    """The machines of one run, whose id is `run` once there is one."""

    def __init__(self, load_from: str) -> None:
        self.run = ""
        self._cluster = DaskCluster(load_from)
        self._spots: list[Spot] = []
        self._loss_named = False

    async def open(self) -> int:
        """Connect; how many senders there are.

        Raises:
            UsageError: there are none, or their machines are not fit.
        """
        await self._cluster.open()
        self._spots = await self._cluster.spots()
        return len(self._spots)

    async def aclose(self) -> None:
        """Let go of Dask; senders have been ended by then."""
        await self._cluster.close()

    def warnings(self, urls: Mapping[str, str]) -> list[RunWarning]:
        """What must be known of these machines before anything is sent to these targets (by name).

        Raises:
            UsageError: a target would be another server on each of them.
        """
        here = socket.gethostname()
        away = [s.name for s in self._spots if not _is_here(s, here)]
        for name, url in urls.items():
            if away and Address.parse(url).is_loopback:
                raise UsageError(
                    f"target {name} is {url}: to the sender on {away[0]} that is its own machine",
                    "Give the server's name or address in the network: --host http://NAME:11434",
                )
        if not self._cluster.open_to_network:
            return []
        who = f"the Dask scheduler at {self._cluster.scheduler}"
        message = f"{who} takes orders from whoever reaches it, and runs them"
        advice = "Use TLS (see: ollama-bench help fleet), or a network that only you reach."
        return [RunWarning(WarningCode.OPEN_SCHEDULER, message, advice)]

    async def start(self, init: Init) -> Sequence[Worker]:
        """A sender on each machine that there is now.

        Raises:
            WorkerDied: one cannot be started, or not be reached.
            ServerUnreachable: there is no machine left.
        """
        if self._cluster.scheduler_lost:
            raise scheduler_gone()
        self._spots = await self._cluster.spots()
        if not self._spots:
            raise ServerUnreachable("no machine is left that could send", "Start Dask workers.")
        init = replace(init, of=len(self._spots))
        starts = [self._start(spot, replace(init, worker=n)) for n, spot in enumerate(self._spots)]
        ends = await asyncio.gather(*starts, return_exceptions=True)
        senders = [end for end in ends if isinstance(end, RemoteSender)]
        if failed := [end for end in ends if isinstance(end, BaseException)]:
            await asyncio.gather(*(s.end() for s in senders))
            if self._cluster.scheduler_lost:
                raise scheduler_gone() from failed[0]
            raise WorkerDied(f"the senders cannot be started: {failed[0]}") from failed[0]
        return senders

    async def _start(self, spot: Spot, init: Init) -> RemoteSender:
        """One sender. Its agent is called at once: it waits for nobody, not for the others' start.

        Raises:
            Exception: it cannot be started, or not be reached.
        """
        place = await self._cluster.start_agent(spot, self.run, init.worker)
        name = f"sender {init.worker + 1} of {init.of} ({place.name})"
        sender = RemoteSender(place, name, self._rescue)
        await sender.start(init)
        return sender

    def naming_losses(self, send: PhaseSender) -> PhaseSender:
        """The same, with a warning once the scheduler has gone."""

        async def sent(case: Case, block: Block, target: OpenTarget, around: Surroundings) -> Sent:
            done = await send(case, block, target, around)
            return dataclasses.replace(done, warnings=[*done.warnings, *self._lost()])

        return sent

    def _lost(self) -> list[RunWarning]:
        if self._loss_named or not self._cluster.scheduler_lost:
            return []
        self._loss_named = True
        message = "the Dask scheduler has gone; the senders went on without it"
        advice = "Numbers are as good as with it. A sender that is lost now cannot be replaced."
        return [RunWarning(WarningCode.SCHEDULER_LOST, message, advice)]

    async def fetch_left(self, output: Path) -> list[RunWarning]:
        """Fetch what earlier runs have left on the machines.

        What belongs to a run in `output` is added to its records, if it is not among them; the rest
        stays where it is.
        """
        left = await self._cluster.spooled(SpoolAsked())
        found = []
        for one in left:
            kept = add_left(output / one.run, one)
            if kept is None:
                continue
            asked = SpoolAsked(one.run, one.sender, forget=True)
            await self._cluster.spooled(asked)
            if kept:
                what = f"{kept} records of {output / one.run} still lay on a sender's machine"
                found.append(
                    RunWarning(WarningCode.RECORDS_FETCHED, f"{what}; they are added to it")
                )
        return found

    async def _rescue(self, place: Place, start: int) -> bytes:
        asked = SpoolAsked(self.run, place.sender, start)
        try:
            found = await self._cluster.spooled(asked, place.host, _RESCUE_S)
        except Exception:  # neither agent nor Dask: it cannot be fetched now
            return b""
        return found[0].lines.encode() if found else b""


def add_left(run: Path, left: Spooled) -> int | None:
    """Add what a sender had said to the records of its run; how many; None = there is no such run.

    Raises:
        ResultsError: they cannot be written.
    """
    if not (run / "run.json").is_file():
        return None
    path = run / REQUESTS_FILE
    known = {_key(record) for record in read_records(path).records}
    new = [r for r in _records(left.lines.splitlines()) if _key(r) not in known]
    if new:
        with Journal(path) as journal:
            for record in new:
                journal.append(record)
    return len(new)


def _records(lines: Iterable[str]) -> Iterable[RequestRecord]:
    for line in lines:
        with contextlib.suppress(ValueError):  # torn by a kill
            word = decode_word(line.encode())
            if isinstance(word, Arrived):
                yield word.record


def _key(record: RequestRecord) -> tuple[object, ...]:
    return (record.block, record.phase, record.index, record.worker)


def _is_here(spot: Spot, name: str) -> bool:
    return spot.machine.name == name or spot.host in ("127.0.0.1", "::1", "localhost")
