"""A whole run: open the plan's targets, check them, run the plan, close everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.address import Address
from bench.children import scratch_folder
from bench.clock import Clock, RealClock
from bench.errors import BenchError, UsageError
from bench.hidden import scrub_bytes
from bench.load.afterwards import Afterwards, run_afterwards
from bench.load.block import PhaseSender, send_here
from bench.load.needs import descriptors_for, ensure_descriptors, processes_for, workers_for
from bench.load.observer import Observer
from bench.load.preflight import PullObserver, check_models, control_warnings, describe_target
from bench.load.runner import Grow, PlanRunner, Preparation
from bench.load.stop import Stop
from bench.load.target import OpenTarget
from bench.load.workload import Workloads
from bench.ollama.control import Control
from bench.results.directory import RunDirectory
from bench.results.history_file import default_history
from bench.results.run import ModelInfo, RunInfo, RunStatus, RunWarning, TransportInfo
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Plan, Target
from bench.telemetry.finding import open_telemetry
from bench.telemetry.sampling import Telemetry
from bench.wire.transports import choose_transport

if TYPE_CHECKING:
    from bench.load.fleet.fleet import Fleet
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
        load_from: the machines to send from: address of a Dask scheduler, `local:N`, or a file with
            hosts to reach by ssh; "" = this one.
        keep_text: keep the text of the answers.
        insecure: accept any certificate.
        ca_file: PEM file of a certificate authority to trust.
        pull: pull missing models, reporting progress; None = never.
        one_at_a_time: before a block, unload the model of the block before if it is another one:
            for sides that do not fit into memory together.
        history: database in which the finished run is indexed; None = nowhere.
        page_cpu_s: what a live page costs, see `bench.telemetry.sampling.Telemetry`.
    """

    output: str | Path = Path("runs")
    transport: str | None = None
    workers: int = 1
    load_from: str = ""
    keep_text: bool = False
    insecure: bool = False
    ca_file: str = ""
    pull: PullObserver | None = None
    one_at_a_time: bool = False
    history: str | Path | None = field(default_factory=default_history)
    page_cpu_s: Callable[[], float] | None = None

    def address(self, url: str) -> Address:
        """The address of a target, with its credentials."""
        return Address.parse(url, insecure=self.insecure, ca_file=self.ca_file)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended: the final content of its run.json; why it could not go on, if so."""

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
    afterwards: Afterwards | None = None,
) -> Ended:
    """Run a plan against its servers, and then what comes afterwards.

    Returns:
        The run, however it ended once it had begun.

    Raises:
        ServerError: a server cannot be used.
        ModelError: a model is missing or cannot do what is asked.
        ResultsError: the results cannot be written.
        KeyboardInterrupt: it was stopped before anything was sent.
    """
    if not settings.load_from:  # else the senders look for themselves
        ensure_descriptors(descriptors_for(plan, processes_for(plan, settings.workers)))
    async with AsyncExitStack() as stack:
        logs = (
            stack.enter_context(scratch_folder()) if any(t.command for t in plan.targets) else None
        )
        fleet = _fleet(settings)
        ready = await stop.or_stopped(_open_targets(plan, settings, stack, logs, fleet))
        if ready is None:
            raise KeyboardInterrupt
        if afterwards is not None:
            await afterwards.prepare({name: t.control for name, t in ready.targets.items()})
        directory = RunDirectory.create(Path(settings.output), plan.name)
        if logs is not None:
            stack.callback(_keep_logs, logs, directory)
        workloads = Workloads(plan, settings.keep_text)
        clock = clock or RealClock()
        send = send_here(workloads)
        if fleet is not None:
            fleet.run = directory.id
        if ready.transport.workers > 1 or fleet is not None:
            send = _shared_out(plan, settings, ready, workloads, stack, fleet)
        telemetry = _telemetry(plan, ready, clock)
        telemetry.page_cpu_s = settings.page_cpu_s
        begin = asyncio.get_running_loop().call_later(_FIRST_REQUEST_S, telemetry.start)
        stack.push_async_callback(asyncio.to_thread, telemetry.close)
        stack.callback(begin.cancel)
        environment = asyncio.ensure_future(_environment())
        runner = PlanRunner(
            plan,
            ready.targets,
            directory,
            send,
            clock=clock,
            observer=observer,
            stop=stop,
            preparation=Preparation(ready.models, ready.warnings, ready.transport, environment),
            one_at_a_time=settings.one_at_a_time,
            grow=grow,
            telemetry=telemetry,
        )
        info = await runner.run()
        error = runner.error
        if afterwards is not None and info.status is RunStatus.COMPLETE:
            error = await run_afterwards(afterwards, directory, stop)
        return Ended(directory, info, error)


def _telemetry(plan: Plan, ready: Ready, clock: Clock) -> Telemetry:
    """Of the servers' machine: nothing is read here for a server that is elsewhere."""
    asked = plan.scenario.get("telemetry", "auto")
    kinds = ("auto",) if asked == "auto" else () if asked == "off" else tuple(asked)
    infos = [target.info for target in ready.targets.values()]
    at = {i.name: Address.parse(i.url) for i in infos}
    local = {i.name: at[i.name].port for i in infos if i.same_host}
    where = {i.name: "is" if i.same_host is False else "may be" for i in infos if not i.same_host}
    not_seen = {n: f"not seen: the server {what} on another machine" for n, what in where.items()}
    hosts = {name: address.host for name, address in at.items()}
    return open_telemetry(kinds, clock.now_ns, local, not_seen, hosts)


async def _environment() -> dict[str, Any]:
    """What the machine is like: looked at in a thread, once the first request is on its way."""
    await asyncio.sleep(_FIRST_REQUEST_S)

    def collect() -> dict[str, Any]:
        from bench.results.environment import collect_environment

        return collect_environment()

    return await asyncio.to_thread(collect)


def _shared_out(
    plan: Plan,
    settings: Settings,
    ready: Ready,
    workloads: Workloads,
    stack: AsyncExitStack,
    fleet: Fleet | None,
) -> PhaseSender:
    """The sending part in several processes, which end with the stack."""
    from bench.load.messages import Init  # late: most runs need one process only
    from bench.load.worker_process import start_here
    from bench.load.workers import WorkerPool

    def transport(target: OpenTarget) -> str:
        """Elsewhere, the best there."""
        return target.transport.name if fleet is None else settings.transport or ""

    pool = WorkerPool(
        Init(
            plan=plan,
            of=ready.transport.workers,
            urls={name: target.info.url for name, target in ready.targets.items()},
            transports={name: transport(target) for name, target in ready.targets.items()},
            keep_text=settings.keep_text,
            insecure=settings.insecure,
            ca_file=settings.ca_file,
            elsewhere=fleet is not None,
        ),
        send_here(workloads),
        workloads,
        start_here if fleet is None else fleet.start,
    )
    stack.push_async_callback(pool.aclose)
    return pool if fleet is None else fleet.naming_losses(pool)


async def _open_targets(
    plan: Plan,
    settings: Settings,
    stack: AsyncExitStack,
    logs: Path | None,
    fleet: Fleet | None = None,
) -> Ready:
    targets: dict[str, OpenTarget] = {}
    models: list[ModelInfo] = []
    warnings: list[RunWarning] = []
    used: dict[str, str] = {}
    workers = processes_for(plan, settings.workers)
    if fleet is not None:
        stack.push_async_callback(fleet.aclose)
        workers = await fleet.open()
    for number, target in enumerate(plan.targets, 1):
        server = None
        if logs is not None and target.command:
            server = await _started(target, stack, logs / f"server-{number}.log")
        known = server.settings if server else None
        address = settings.address(server.url if server else target.url)
        control = await stack.enter_async_context(Control.of(address))
        info = describe_target(target.name, address, await control.version(), known)
        found, warned = await check_models(plan, target.name, control, settings.pull)
        models += found
        warnings += [*warned, *control_warnings(control)]
        transport, reason = choose_transport(address, settings.transport)
        stack.push_async_callback(transport.aclose)
        used[transport.name] = reason
        opened = OpenTarget(info, control, transport, notes=partial(control_warnings, control))
        targets[target.name] = replace(opened, why_ended=server.why_ended) if server else opened
    if fleet is None:
        warnings += _more_workers(plan, settings)
    else:
        warnings += fleet.warnings({name: t.info.url for name, t in targets.items()})
        warnings += await fleet.fetch_left(Path(settings.output))
    names, reasons = ", ".join(used), "; ".join(dict.fromkeys(used.values()))
    transport_info = TransportInfo(names, reasons, workers, settings.load_from)
    return Ready(targets, tuple(models), tuple(warnings), transport_info)


def _fleet(settings: Settings) -> Fleet | None:
    """The machines to send from, if not this one.

    Raises:
        UsageError: processes of this machine are asked for as well.
    """
    if not settings.load_from:
        return None
    if settings.workers != 1:
        raise UsageError(
            "--workers and --load-from exclude each other",
            "A machine with several Dask workers sends with as many processes.",
        )
    from bench.load.fleet.fleet import Fleet

    return Fleet(settings.load_from)


def _more_workers(plan: Plan, settings: Settings) -> list[RunWarning]:
    """Whether one process is too few for the load, as far as the plan shows."""
    wanted = workers_for(plan)
    if settings.workers != 1 or wanted == 1:
        return []
    message = f"this load is more than one process of this program should send: {wanted} would do"
    advice = "Use --workers auto, and watch the lag of the event loop in the report."
    return [RunWarning(WarningCode.MORE_WORKERS, message, advice)]


async def _started(target: Target, stack: AsyncExitStack, log: Path) -> ManagedServer:
    """The server of a target that is a command, started."""
    from bench.ollama.managed import managed_server

    return await stack.enter_async_context(
        managed_server(target.name, target.command, target.env, log)
    )


def _keep_logs(logs: Path, directory: RunDirectory) -> None:
    """Begin and end of the log of every server that was started; numbered as the targets are."""
    for log in logs.glob("*.log"):
        from bench.ollama.managed import kept_log

        with suppress(BenchError):
            directory.write_file(log.name, scrub_bytes(kept_log(log)))
