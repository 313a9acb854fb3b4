"""A whole run: open the plan's targets, check them, run the plan, close everything."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench
from bench.clock import Clock, RealClock
from bench.errors import BenchError
from bench.load.block import Sending, send_here
from bench.load.descriptors import descriptors_for, ensure_descriptors
from bench.load.observer import Observer
from bench.load.preflight import PullObserver, check_models, describe_target
from bench.load.runner import Grow, Preparation, Runner
from bench.load.stop import Stop
from bench.load.target import OpenTarget
from bench.load.utilisation import Utilisation
from bench.load.worker_count import workers_for
from bench.load.workload import Workloads
from bench.ollama.address import Address
from bench.ollama.control import Control
from bench.ollama.transports import choose_transport
from bench.results.directory import RunDirectory
from bench.results.history_path import default_history
from bench.results.run import ModelInfo, RunInfo, RunWarning, TransportInfo
from bench.scenario.plan import Plan, Target

if TYPE_CHECKING:
    from bench.ollama.managed import ManagedServer

_FIRST_REQUEST_S = 0.1
"""A warm server has its first request after this; what can wait does."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run a plan.

    Attributes:
        output: folder that gets the run directory.
        transport: name of the transport to use; None = the best for each target.
        workers: worker processes; 1 = send from this process, 0 = as many as the load needs.
        keep_text: keep the text of the answers.
        insecure: accept any certificate.
        ca_file: PEM file of a certificate authority to trust.
        pull: pull missing models, telling the progress; None = never.
        one_at_a_time: before a block, unload the model of the block before if it is another one:
            for sides that do not fit into memory together.
        history: database in which the finished run is indexed; None = nowhere.
    """

    output: Path = Path("runs")
    transport: str | None = None
    workers: int = 1
    keep_text: bool = False
    insecure: bool = False
    ca_file: str = ""
    pull: PullObserver | None = None
    one_at_a_time: bool = False
    history: Path | None = field(default_factory=default_history)

    def address(self, url: str) -> Address:
        """The address of a target, with its credentials."""
        return Address.parse(url, insecure=self.insecure, ca_file=self.ca_file)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Attributes:
        directory: where it is kept.
        info: the final content of its run.json.
        error: why it could not go on, if it could not.
    """

    directory: RunDirectory
    info: RunInfo
    error: BenchError | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Targets that were reached and checked."""

    targets: dict[str, OpenTarget]
    models: tuple[ModelInfo, ...]
    warnings: tuple[RunWarning, ...]
    transport: TransportInfo


async def measure(
    plan: Plan,
    settings: Settings,
    observer: Observer,
    stop: Stop,
    clock: Clock | None = None,
    grow: Grow | None = None,
) -> Ended:
    """Run a plan against its servers.

    Returns:
        The run, however it ended once it had begun.

    Raises:
        ServerError: a server cannot be used.
        ModelError: a model is missing or cannot do what is asked.
        ResultsError: the results cannot be written.
        KeyboardInterrupt: it was stopped before anything was sent.
    """
    ensure_descriptors(descriptors_for(plan, settings.workers or workers_for(plan)))
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ollama-bench-")))
        ready = await stop.or_stopped(_open_targets(plan, settings, stack, logs))
        if ready is None:
            raise KeyboardInterrupt
        directory = RunDirectory.create(settings.output, plan.name)
        stack.callback(_keep_logs, logs, directory)
        workloads = Workloads(plan, settings.keep_text)
        clock = clock or RealClock()
        send = send_here(workloads)
        if ready.transport.workers > 1:
            send = _shared_out(plan, settings, ready, workloads, stack)
        utilisation = Utilisation(clock)
        await utilisation.start()
        stack.push_async_callback(utilisation.aclose)
        environment = asyncio.ensure_future(_environment())
        runner = Runner(
            plan,
            ready.targets,
            directory,
            send,
            clock=clock,
            observer=observer,
            stop=stop,
            preparation=Preparation(
                models=ready.models,
                warnings=ready.warnings,
                transport=ready.transport,
                environment=environment,
                tool_version=bench.__version__,
            ),
            one_at_a_time=settings.one_at_a_time,
            grow=grow,
            utilisation=utilisation,
        )
        info = await runner.run()
        return Ended(directory, info, runner.error)


async def _environment() -> dict[str, Any]:
    """What the machine is like: looked at in a thread, once the first request is on its way."""
    await asyncio.sleep(_FIRST_REQUEST_S)

    def collect() -> dict[str, Any]:
        from bench.results.environment import collect_environment

        return collect_environment()

    return await asyncio.to_thread(collect)


def _shared_out(
    plan: Plan, settings: Settings, ready: Ready, workloads: Workloads, stack: AsyncExitStack
) -> Sending:
    """The sending part in several processes, which end with the stack."""
    from bench.load.messages import Init  # late: most runs need one process only
    from bench.load.workers import WorkerPool

    pool = WorkerPool(
        Init(
            plan=plan,
            of=ready.transport.workers,
            urls={name: target.info.url for name, target in ready.targets.items()},
            transports={name: target.transport.name for name, target in ready.targets.items()},
            keep_text=settings.keep_text,
            insecure=settings.insecure,
            ca_file=settings.ca_file,
        ),
        send_here(workloads),
        workloads,
    )
    stack.push_async_callback(pool.aclose)
    return pool


async def _open_targets(plan: Plan, settings: Settings, stack: AsyncExitStack, logs: Path) -> Ready:
    targets: dict[str, OpenTarget] = {}
    models: list[ModelInfo] = []
    warnings: list[RunWarning] = []
    used: dict[str, str] = {}
    for number, target in enumerate(plan.targets, 1):
        server = await _started(target, stack, logs / f"server-{number}.log")
        known = server.settings if server else None
        address = settings.address(server.url if server else target.url)
        control = await stack.enter_async_context(Control.of(address))
        info = describe_target(target.name, address, await control.version(), known)
        found, warned = await check_models(plan, target.name, control, settings.pull)
        models += found
        warnings += warned
        transport, reason = choose_transport(address, settings.transport)
        stack.push_async_callback(transport.aclose)
        used[transport.name] = reason
        opened = OpenTarget(info, control, transport)
        targets[target.name] = replace(opened, why_ended=server.why_ended) if server else opened
    warnings += _more_workers(plan, settings)
    names, reasons = ", ".join(used), "; ".join(dict.fromkeys(used.values()))
    transport_info = TransportInfo(names, reasons, settings.workers or workers_for(plan))
    return Ready(targets, tuple(models), tuple(warnings), transport_info)


def _more_workers(plan: Plan, settings: Settings) -> list[RunWarning]:
    """Whether one process is too few for the load, as far as the plan tells."""
    wanted = workers_for(plan)
    if settings.workers != 1 or wanted == 1:
        return []
    return [
        RunWarning(
            "more_workers",
            f"this load is more than one process of this program should send: {wanted} would do",
            "Use --workers auto, and watch the lag of the event loop in the report.",
        )
    ]


async def _started(target: Target, stack: AsyncExitStack, log: Path) -> ManagedServer | None:
    """The server of a target that is a command, started; None if it is a URL."""
    if not target.command:
        return None
    from bench.ollama.managed import managed_server

    return await stack.enter_async_context(
        managed_server(target.name, target.command, target.env, log)
    )


def _keep_logs(logs: Path, directory: RunDirectory) -> None:
    """Begin and end of the log of every server that was started; numbered as the targets are."""
    for log in logs.glob("*.log"):
        from bench.ollama.managed import kept_log

        with suppress(BenchError):
            directory.write_file(log.name, kept_log(log))
