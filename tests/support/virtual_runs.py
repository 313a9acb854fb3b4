"""Whole runs against the simulated server in virtual time: bytes and all, but without sockets.

The load's own runner, the server's own HTTP and the simulated engine share one virtual clock, so an
hour takes seconds and every time is exact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from virtual_server import virtual_app

from bench.clock import VirtualClock, run_virtual
from bench.load.block import send_here
from bench.load.observer import Silent
from bench.load.runner import Grow, PlanRunner, Preparation
from bench.load.stop import Stop
from bench.load.target import OpenTarget
from bench.load.workload import Workloads
from bench.ollama.control import ServerVersion
from bench.ollama.replies import ResidentModel
from bench.results.directory import Run, RunDirectory, read_run
from bench.results.run import ModelInfo, TargetInfo
from bench.scenario.plan import Block, Case, Load, Plan, PromptSpec, Target
from bench.server.app import App
from bench.server.faults import FaultPlan
from bench.simulation.profile import ModelProfile
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.http_reader import HttpReader
from bench.wire.transports.flight import BookedTransport, Flight

MODEL = "m:latest"
WORDS = "The quick brown fox jumps over the lazy dog and then it sleeps until the evening. "


def plan_of(*loads: Load, name: str = "virtual", predict: int | None = None, seed: int = 7) -> Plan:
    """A plan of one case a load; prompts of several lengths.

    Args:
        loads: of the cases, in order.
        name: of the plan.
        predict: `num_predict`; None = answers end by themselves.
        seed: of everything that is drawn.
    """
    cases = []
    for load in loads:
        level = f"users={load.users}" if load.loop == "closed" else f"rate={load.rate_per_s:g}"
        key, _, value = level.partition("=")
        cases.append(
            Case(
                id=f"{MODEL}, {level}",
                axes={"model": MODEL, "target": "here", key: value},
                target="here",
                model=MODEL,
                endpoint="generate",
                stream=True,
                options={"num_ctx": 4096, "temperature": 0, "num_predict": predict or -1},
                think=False,
                keep_alive="30m",
                prompts=PromptSpec(inline=tuple(WORDS * n for n in (1, 3, 6, 10, 20))),
                load=load,
                warmup=1,
            )
        )
    return Plan(
        name=name,
        description="",
        tags=(),
        source="test",
        scenario={},
        targets=(Target("here", "http://127.0.0.1:1"),),
        cases=tuple(cases),
        blocks=tuple(Block(i, c.id, 0, seed=seed * 1000 + i) for i, c in enumerate(cases)),
        seed=seed,
        salt=11,
    )


def run_virtually(
    plan: Plan,
    model: ModelProfile,
    folder: Path,
    *,
    grow: Grow | None = None,
    faults: FaultPlan | None = None,
    beside: Callable[[App], Coroutine[Any, Any, None]] | None = None,
    others: Sequence[ModelProfile] = (),
    **settings: Any,
) -> Run:
    """Run a plan to its end.

    Args:
        plan: of `plan_of`.
        model: what the server serves, under the name `MODEL`.
        folder: gets the run directory.
        grow: adds blocks.
        faults: of the server.
        beside: what another client does meanwhile.
        others: models that are served besides, under their own names.
        **settings: of the server, e.g. `num_parallel=4`.
    """
    directory = RunDirectory.create(folder, plan.name)

    async def main() -> None:
        app = virtual_app(replace(model, name=MODEL), *others, faults=faults, **settings)
        clock = VirtualClock()
        info = TargetInfo("here", "http://x", "0.32.15", "E3", "simulated", simulated=True)
        runner = PlanRunner(
            plan,
            {"here": OpenTarget(info, _Control(), VirtualTransport(app, clock))},
            directory,
            send_here(Workloads(plan)),
            clock=clock,
            observer=Silent(),
            stop=Stop(),
            preparation=Preparation(
                models=tuple(ModelInfo("here", name) for name in (MODEL, *(m.name for m in others)))
            ),
            watched=False,
            grow=grow,
        )
        other = asyncio.ensure_future(beside(app)) if beside else None
        await runner.run()
        if other is not None:
            other.cancel()
        if runner.error is not None:
            raise runner.error

    run_virtual(main())
    return read_run(directory.path)


class _Control:
    """Control calls of a server whose model is always loaded."""

    async def ps(self) -> tuple[ResidentModel, ...]:
        return (ResidentModel(MODEL, "d", "gguf", 10**9, 10**9, 4096),)

    async def preload(
        self, model: str, options: Mapping[str, Any], keep_alive: str | int, timeout_s: float
    ) -> int:
        return 0

    async def version(self) -> ServerVersion:
        return ServerVersion("0.32.15", "simulated")

    async def unload(self, model: str) -> None:
        return


class VirtualTransport(BookedTransport):
    """Puts calls on connections of a server in the same process, on its clock."""

    name = "fake"

    def __init__(self, app: App, clock: VirtualClock) -> None:
        super().__init__(now_ns=clock.now_ns)
        self.app = app
        self.clock = clock

    async def open(self, connections: int) -> None:
        return

    def send(self, call: Call) -> asyncio.Future[Reply]:
        flight = self.begin(call)
        flight.sent(self.clock.now_ns())
        flight.let_go = _Wire(self, flight).abort
        return flight.future

    async def aclose(self) -> None:
        self.stop_all()


class _Wire(asyncio.Transport):
    """One connection: the server's transport, and the client's carrier."""

    def __init__(self, home: VirtualTransport, flight: Flight) -> None:
        super().__init__()
        self._clock = home.clock
        self._flight = flight
        self._http = HttpReader()
        self._http.start(flight.reader)
        self._closed = False
        self._protocol = home.app.listener()
        self._protocol.connection_made(self)
        asyncio.get_running_loop().call_soon(self._ask, flight.call)

    def _ask(self, call: Call) -> None:
        head = f"{call.method} {call.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Length: {len(call.body)}\r\n\r\n"
        self._protocol.data_received(head.encode() + call.body)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed:
            return
        now_ns = self._clock.now_ns()
        if self._http.feed(bytes(data), now_ns):
            if self._http.ended or self._flight.reader.broken:
                self._flight.end(Outcome.OK, "", now_ns)
            elif not self._flight.any_received:
                self._flight.answered(now_ns)

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        """The server closes, or the client lets go."""
        if self._closed:
            return
        self._closed = True
        outcome, error = self._http.eof()
        self._flight.end(outcome, error, self._clock.now_ns())
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


def closed(users: int, requests: int) -> Load:
    return Load("closed", users=users, requests=requests)
