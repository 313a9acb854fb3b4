"""The machines that send, as Dask knows them: a scheduler, a local cluster, or hosts by ssh.

Dask starts an agent on each of its workers and is not needed after that: its scheduler may end
while a run goes on. All that it carries is bytes (JSON); functions go by their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench._version import __version__
from bench.address import Address
from bench.errors import BenchError, ServerUnreachable, UsageError
from bench.load.fleet import hosting
from bench.load.fleet.agent import AgentStart
from bench.load.fleet.asker import Place
from bench.load.fleet.by_ssh import ADVICE, NO_DASHBOARD, ssh_cluster

_ENCRYPTED = ("tls", "wss")
_UP_S = 60.0
_REACH_S = 5.0
"""Dask tries again and again for so long, and what is refused twice is not there."""
_CALL_S = 30.0
_ANSWER_S = 8.0
"""A worker that is there answers within this."""
_POLL_S = 0.25
_CLOSE_S = 5.0
_LOST_CLOSE_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spot:
    """One Dask worker: there is one sender on each.

    Attributes:
        name: of its machine, with a number where several are on one.
        host: where its machine is reached.
    """

    address: str
    name: str
    host: str
    machine: hosting.MachineSeen


class DaskCluster:
    """A connection to a scheduler, and the cluster behind it if it was started here."""

    def __init__(self, load_from: str) -> None:
        self.load_from = load_from
        self._cluster: Any = None
        self._client: Any = None

    async def open(self) -> None:
        """Connect, and check that all machines have this version of bench.

        Raises:
            UsageError: it is no scheduler, or a machine is not fit.
        """
        distributed = _distributed()
        for name in logging.root.manager.loggerDict:
            if name.partition(".")[0] == "distributed":  # what is wrong, we say
                logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            await _in_time(lambda: self._connect(distributed), _UP_S)
            await self._ask(lambda: self._client.wait_for_workers(1, timeout=20), _CALL_S)
            await self._check_versions()
        except BenchError:
            raise
        except (OSError, TimeoutError, ValueError, RuntimeError, ImportError) as error:
            raise UsageError(
                f"--load-from {self.load_from}: {str(error) or type(error).__name__}", ADVICE
            ) from error

    def _connect(self, distributed: Any) -> None:
        local, _, count = self.load_from.partition(":")
        if local == "local":
            if not count.isdecimal() or not int(count):
                raise UsageError(f"--load-from {self.load_from}: how many senders?", ADVICE)
            self._cluster = distributed.LocalCluster(
                n_workers=int(count),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs=NO_DASHBOARD,
            )
        elif Path(self.load_from).is_file():
            self._cluster = ssh_cluster(distributed, Path(self.load_from))
        elif "://" not in self.load_from:
            raise UsageError(f"--load-from {self.load_from}: neither an address nor a file", ADVICE)
        else:
            _check_address(distributed, self.load_from)
        # Not as the default: Dask would close that once more when Python ends, and wait for it.
        self._client = distributed.Client(
            self._cluster or self.load_from, timeout=_REACH_S, set_as_default=False
        )

    @property
    def scheduler(self) -> str:
        """Its address."""
        return str(self._client.scheduler.address)

    @property
    def scheduler_lost(self) -> bool:
        """Whether the scheduler has gone."""
        return self._client is None or self._client.status != "running"

    async def spots(self) -> list[Spot]:
        """The workers that there are now, in the order of their names.

        One that does not answer is left out: a machine that was cut off is known to Dask for
        minutes.
        """
        answers = await self._each(hosting.machine, b"", _ANSWER_S)
        machines = {a: msgspec.json.decode(m, type=hosting.MachineSeen) for a, m in answers.items()}
        names = [machine.name for machine in machines.values()]
        spots: list[Spot] = []
        for address in sorted(machines, key=lambda a: (machines[a].name, a)):
            name = machines[address].name
            number = sum(spot.machine.name == name for spot in spots) + 1
            shown = f"{name}-{number}" if names.count(name) > 1 else name
            spots.append(Spot(address, shown, _host_of(address), machines[address]))
        return spots

    async def start_agent(self, spot: Spot, run: str, number: int) -> Place:
        """Start an agent there.

        Raises:
            UsageError: it cannot be started.
        """
        tls = self._tls(spot)
        token, sender = secrets.token_hex(16), f"{number}-{secrets.token_hex(4)}"
        asked = AgentStart(token, run, sender, encrypted=tls is not None)
        run_there = partial(self._client.run, workers=[spot.address])
        found = await self._ask(
            lambda: run_there(hosting.start_agent, msgspec.json.encode(asked)), _CALL_S
        )
        started = msgspec.json.decode(found[spot.address], type=hosting.Started)
        if started.error:
            raise UsageError(f"no sender can be started on {spot.name}: {started.error}")
        return Place(spot.name, spot.host, started.port, token, sender, tls)

    async def spooled(
        self, asked: hosting.SpoolAsked, host: str = "", timeout_s: float = _ANSWER_S
    ) -> list[hosting.Spooled]:
        """What lies on the machines, or on one, of runs that have not fetched it.

        Raises:
            ServerUnreachable: the scheduler has gone.
        """
        replies = await self._each(hosting.spooled, msgspec.json.encode(asked), timeout_s, host)
        lists = (msgspec.json.decode(r, type=list[hosting.Spooled]) for r in replies.values())
        return list({(one.run, one.sender): one for each in lists for one in each}.values())

    async def close(self) -> None:
        """Let go; a cluster that was started here ends."""
        timeout_s = _LOST_CLOSE_S if self.scheduler_lost else _CLOSE_S
        for one in (self._client, self._cluster):
            if one is not None:
                with contextlib.suppress(Exception):  # however it is, it is not needed any more
                    await _in_time(one.close, timeout_s)
        self._client = self._cluster = None

    async def _each(
        self, function: Callable[[bytes], bytes], asked: bytes, timeout_s: float, host: str = ""
    ) -> dict[str, bytes]:
        """What a function says on every worker, or on those of a host, by address.

        Raises:
            ServerUnreachable: the scheduler has gone, or does not answer.
        """
        try:
            known = await self._ask(
                lambda: list(self._client.scheduler_info(n_workers=-1)["workers"]), timeout_s
            )
        except TimeoutError as error:
            raise ServerUnreachable(
                f"the Dask scheduler does not say which workers it has: {error}",
                "Is it stopped or overloaded? Start it and its workers again.",
            ) from error
        there = [address for address in known if not host or _host_of(address) == host]
        calls = (partial(self._client.run, function, asked, workers=[a]) for a in there)
        answers = await asyncio.gather(
            *(self._ask(call, timeout_s) for call in calls), return_exceptions=True
        )
        found: dict[str, bytes] = {}
        for answer in answers:
            if isinstance(answer, ServerUnreachable):
                raise answer
            if not isinstance(answer, BaseException):
                found |= answer
        return found

    async def _ask(self, work: Callable[[], T], timeout_s: float) -> T:
        """The result of something that needs the scheduler.

        Raises:
            ServerUnreachable: that has gone; Dask itself would wait for its coming back.
            Exception: what the work raises; TimeoutError if it takes longer.
        """
        asked = asyncio.ensure_future(_in_time(work, timeout_s))
        lost = 0
        try:
            while not asked.done():
                await asyncio.wait({asked}, timeout=_POLL_S)
                lost = lost + 1 if self.scheduler_lost else 0
                if lost > 1 and not asked.done():  # once can be a short break of the network
                    raise scheduler_gone()
            return asked.result()
        except OSError as error:
            if self.scheduler_lost:  # its connection broke in the middle of the answer
                raise scheduler_gone() from error
            raise
        finally:
            asked.cancel()

    async def _check_versions(self) -> None:
        found: Mapping[str, Any] = await self._ask(
            lambda: self._client.run(metadata.version, "ollama-bench", on_error="return"), _CALL_S
        )
        hosts = {
            address: "no ollama-bench" if isinstance(v, Exception) else f"version {v}"
            for address, v in found.items()
            if str(v) != __version__
        }
        if hosts:
            versions = "; ".join(f"{address} has {what}" for address, what in sorted(hosts.items()))
            raise UsageError(
                f"all machines need ollama-bench {__version__}, as here: {versions}",
                "On each of these, in the environment that runs its Dask worker: "
                f"pip install 'ollama-bench[fleet]=={__version__}'; then start the worker again.",
            )

    def _tls(self, spot: Spot) -> ssl.SSLContext | None:
        """What to speak to an agent with: as Dask speaks to its workers."""
        if spot.address.partition("://")[0] not in _ENCRYPTED:
            return None
        context = self._client.security.get_connection_args("client")["ssl_context"]
        return context if isinstance(context, ssl.SSLContext) else None

    @property
    def open_to_network(self) -> bool:
        """Whether anyone who reaches the scheduler can give it orders."""
        scheme, _, rest = self.scheduler.partition("://")
        return scheme not in (*_ENCRYPTED, "inproc") and not Address.parse(rest).is_loopback


def scheduler_gone() -> ServerUnreachable:
    """Senders must be started, and nobody can."""
    return ServerUnreachable(
        "the Dask scheduler has gone, and senders must be started",
        "Start the scheduler and its workers again. What was measured so far is kept.",
    )


def _host_of(address: str) -> str:
    """The host in an address as Dask writes it."""
    return address.partition("://")[2].rpartition(":")[0].strip("[]")


def _check_address(distributed: Any, address: str) -> None:
    """Refuse what is no address: Dask's client of it would end in a traceback, ten seconds later.

    Raises:
        UsageError: it is none.
    """
    try:
        _, port = distributed.comm.get_address_host_port(address, strict=True)
        known = port < 2**16
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"--load-from {address}: is no address such as tcp://HOST:8786", ADVICE)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            "--load-from needs Dask, which is not installed here",
            "pip install 'ollama-bench[fleet]'",
        ) from error
    return distributed


async def _in_time(work: Callable[[], T], timeout_s: float) -> T:
    """The result of work that can block, in a thread that nobody waits for any longer than this.

    Raises:
        TimeoutError: it takes longer.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def tell(put: Callable[[Any], None], value: object) -> None:
        if not ended.done():
            put(value)

    def do() -> None:
        put: Callable[[Any], None] = ended.set_result
        value: object
        try:
            value = work()
        except BaseException as error:  # raised again by the one who waits
            put, value = ended.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, put, value)

    threading.Thread(target=do, daemon=True).start()
    try:
        return await asyncio.wait_for(ended, timeout_s)
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout_s:.0f} s") from None
