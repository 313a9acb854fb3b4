"""A plan, a server and a run without a network, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bench.clock import NS, VirtualClock, run_virtual
from bench.load.block import send_here
from bench.load.observer import Silent
from bench.load.runner import PlanRunner
from bench.load.stop import Stop
from bench.load.target import OpenTarget
from bench.load.workload import Workloads
from bench.ollama.control import ServerVersion
from bench.ollama.eras import era_of
from bench.ollama.replies import ResidentModel
from bench.ollama.scripted import scripted_chat
from bench.results.directory import Run, RunDirectory, read_run
from bench.results.record import Phase, RequestRecord
from bench.results.run import RunInfo, TargetInfo
from bench.scenario.plan import Arrivals, Block, Case, Distribution, Load, Plan, PromptSpec, Target
from bench.wire.transports.fake import FakeTransport, ScriptedReply

OPTIONS = {"num_ctx": 4096, "temperature": 0, "seed": 7, "num_predict": 8}


def closed(users: int = 1, **limits: Any) -> Load:
    think_s = limits.pop("think_s", None)
    think = Distribution("fixed", {"value": think_s}) if think_s is not None else None
    return Load("closed", users=users, think_time_s=think, **limits)


def open_loop(rate: float, **limits: Any) -> Load:
    kind = limits.pop("arrivals", "constant")
    return Load("open", rate_per_s=rate, arrivals=Arrivals(kind), **limits)


def case(load: Load, **changes: Any) -> Case:
    made = Case(
        id="m:1b",
        axes={"model": "m:1b", "target": "here"},
        target="here",
        model="m:1b",
        endpoint="chat",
        stream=True,
        options=OPTIONS,
        think=False,
        keep_alive="30m",
        prompts=PromptSpec(inline=("Hello", "Tell me a story", "What is 2 + 2?")),
        load=load,
        warmup=2,
    )
    return replace(made, **changes)


def plan(*cases: Case, blocks: int = 1) -> Plan:
    order = [(c, r) for r in range(blocks) for c in cases]
    return Plan(
        name="test",
        description="",
        tags=(),
        source="test",
        scenario={},
        targets=(Target("here", "http://127.0.0.1:1"),),
        cases=cases,
        blocks=tuple(Block(i, c.id, r, seed=100 + r) for i, (c, r) in enumerate(order)),
        seed=7,
        salt=11,
    )


@dataclass
class FakeControl:
    """A server's control calls, written down."""

    model: str = "m:1b"
    load_s: float = 2.0
    loaded: bool = False
    digest: str = "abc"
    others: tuple[str, ...] = ()
    context: int = 4096
    version_now: str = "0.32.15"
    log: list[str] = field(default_factory=list)

    async def ps(self) -> tuple[ResidentModel, ...]:
        self.log.append("ps")
        mine = ResidentModel(self.model, self.digest, "gguf", 100, 100, self.context)
        others = tuple(ResidentModel(name) for name in self.others)
        return (mine, *others) if self.loaded else others

    async def preload(
        self, model: str, options: Mapping[str, Any], keep_alive: str | int, timeout_s: float
    ) -> int:
        self.log.append("preload")
        took_s = 0.05 if self.loaded else self.load_s
        await asyncio.sleep(took_s)
        self.loaded = True
        return round(took_s * NS)

    async def version(self) -> ServerVersion:
        return ServerVersion(self.version_now)

    async def unload(self, model: str) -> None:
        self.log.append("unload")
        await asyncio.sleep(0.2)
        self.loaded = False


class Watcher(Silent):
    """Calls a function at every record."""

    def __init__(self, at_record: Callable[[RequestRecord], None]) -> None:
        self._at_record = at_record

    def request_ended(self, record: RequestRecord) -> None:
        self._at_record(record)


@dataclass
class Played:
    """A run in virtual time that has ended."""

    run: Run
    info: RunInfo
    error: Exception | None
    transport: FakeTransport
    control: FakeControl

    def records(self, phase: Phase = Phase.MEASURE) -> list[RequestRecord]:
        return [r for r in self.run.records if r.phase is phase]

    @property
    def warning_codes(self) -> set[str]:
        return {w.code for w in self.info.warnings}


Script = Callable[[Any, int], ScriptedReply]


def answers(first_s: float = 0.5, gap_s: float = 0.1, tokens: int = 5) -> Script:
    """A server with room for everyone: each answer takes `first_s + tokens * gap_s`."""
    words = ["word "] * tokens
    reply = scripted_chat(words, first_s=first_s, gap_s=gap_s, model="m:1b", done_reason="stop")
    return lambda call, number: reply


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    """Runs a plan in virtual time against a script; `when` gets the stop and the virtual clock."""

    def play_it(
        the_plan: Plan,
        script: Script | None = None,
        control: FakeControl | None = None,
        when: Callable[[Stop, VirtualClock], Any] | None = None,
        observer: Silent | None = None,
        version: str = "0.32.15",
        **more: Any,
    ) -> Played:
        directory = RunDirectory.create(tmp_path, "test")
        used = control or FakeControl()
        made: list[FakeTransport] = []
        ended: list[tuple[RunInfo, Exception | None]] = []

        async def main() -> None:
            clock, stop = VirtualClock(), Stop()
            made.append(FakeTransport(script or answers(), clock))
            target = OpenTarget(
                TargetInfo("here", "http://x", version, era_of(version).id), used, made[0]
            )
            runner = PlanRunner(
                the_plan,
                {"here": target},
                directory,
                send_here(Workloads(the_plan)),
                clock=clock,
                observer=observer or Silent(),
                stop=stop,
                watched=False,
                **more,
            )
            helper = asyncio.ensure_future(when(stop, clock)) if when else None
            info = await runner.run()
            if helper is not None:
                helper.cancel()
            ended.append((info, runner.error))

        run_virtual(main())
        info, error = ended[0]
        return Played(read_run(directory.path), info, error, made[0], used)

    return play_it


@pytest.fixture
def kit() -> Any:
    """The makers above, for tests: pytest shares fixtures, not modules."""
    return _Kit


class _Kit:
    plan = staticmethod(plan)
    case = staticmethod(case)
    closed = staticmethod(closed)
    open_loop = staticmethod(open_loop)
    answers = staticmethod(answers)
    Control = FakeControl
    Watcher = Watcher
