"""The public Python API: every command is also a function.

import bench
run = bench.run("chat", models=["llama3.2:3b"])
print(run.path, run.summary.cases[0].metrics["ttft_s"].stats["p50"])
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, ExitCode, Interrupted, ResultsError
from bench.load.observer import Observer, Silent
from bench.load.runner import Grow
from bench.load.session import Ended, Settings, measure
from bench.load.stop import Stop
from bench.ollama.transports import run_measuring
from bench.results.directory import RunDirectory
from bench.results.run import RunInfo, RunStatus
from bench.scenario.plan import Plan

if TYPE_CHECKING:
    from bench.analysis.summary import Summary

__all__ = ["FinishedRun", "make_plan", "run", "run_plan"]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has ended, whichever way.

    Attributes:
        path: its run directory.
        info: what run.json says.
        summary: what summary.json says.
        report: path of the HTML report; None if none was asked for.
    """

    path: Path
    info: RunInfo
    summary: Summary
    report: Path | None = None

    @property
    def exit_code(self) -> ExitCode:
        """0 fine, 1 a threshold failed, 5 the numbers cannot be trusted, 130 interrupted."""
        if self.info.status is RunStatus.INTERRUPTED:
            return ExitCode.INTERRUPTED
        if not self.summary.valid:
            return ExitCode.INVALID
        if not all(t.passed for t in self.summary.thresholds):
            return ExitCode.WORSE
        return ExitCode.OK


def make_plan(
    scenario: str | Path,
    *,
    models: Sequence[str] = (),
    hosts: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Load a scenario and expand it.

    Only if neither the call nor the scenario names a model, the (first) server is asked for one:
    the loaded model, else the only one installed.

    Args:
        scenario: path of a file, or name of a shipped scenario.
        models: take the place of the scenario's models.
        hosts: take the place of the scenario's targets.
        overrides: `path=value` each.
        seed: takes the place of the scenario's seed.
        settings: how to reach the server.

    Raises:
        ScenarioError: the scenario is wrong.
        ModelError: no model is named, and it is not clear which one is meant.
        ServerError: the server had to be asked, and cannot be.
    """
    from bench.scenario.cases import case_targets
    from bench.scenario.expand import build_plan
    from bench.scenario.loading import load_scenario

    loaded = load_scenario(str(scenario), overrides)
    if not models and not loaded.models:
        first = case_targets(loaded, hosts)[0]
        models = [asyncio.run(_only_model(settings or Settings(), first.url))]
    return build_plan(loaded, models=models, hosts=hosts, seed=seed)


async def _only_model(settings: Settings, url: str) -> str:
    from bench.load.preflight import resolve_model
    from bench.ollama.control import Control

    async with Control.of(settings.address(url)) as control:
        await control.version()
        return await resolve_model(control)


def run(
    scenario: str | Path,
    *,
    models: Sequence[str] = (),
    hosts: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    report: bool = True,
) -> FinishedRun:
    """Run a scenario against its servers: the function behind `ollama-bench run`.

    Args:
        scenario: path of a file, or name of a shipped scenario.
        models: take the place of the scenario's models.
        hosts: take the place of the scenario's targets.
        overrides: `path=value` each.
        seed: takes the place of the scenario's seed.
        settings: where results go, and how to send.
        observer: is told how the run goes.
        report: write report.html as well.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    plan = make_plan(
        scenario, models=models, hosts=hosts, overrides=overrides, seed=seed, settings=settings
    )
    return run_plan(plan, settings=settings, observer=observer, report=report)


def run_plan(
    plan: Plan,
    *,
    settings: Settings | None = None,
    observer: Observer | None = None,
    report: bool = True,
    grow: Grow | None = None,
) -> FinishedRun:
    """Run a plan. Ctrl-C once stops sending, twice stops at once; both keep what was measured.

    Args:
        plan: what to run.
        settings: where results go, and how to send.
        observer: is told how the run goes.
        report: write report.html as well.
        grow: adds blocks to the plan when those planned have run.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    settings, observer = settings or Settings(), observer or Silent()
    with _interrupts() as interrupts:
        main = _measure_until_interrupted(plan, settings, observer, grow, interrupts)
        ended = run_measuring(main)
    if ended.error is None:
        try:
            finished = conclude(ended.directory, report)
        except KeyboardInterrupt:
            path = ended.directory.path
            raise Interrupted(
                f"stopped before the report was written; what was measured is kept in {path}",
                f"Write the report with: ollama-bench report {path}",
            ) from None
        _index(finished, settings.history, observer)
        return finished
    with suppress(BenchError):
        conclude(ended.directory, report)
    ended.error.advice += f"\n  What was measured so far is kept in {ended.directory.path}"
    raise ended.error


def _index(run: FinishedRun, history: Path | None, observer: Observer) -> None:
    """Index a run; what was measured matters more than a history that cannot be written."""
    if history is None:
        return
    from bench.analysis.history_entry import history_entry
    from bench.results.history import History
    from bench.results.run import RunWarning

    try:
        History(history).add(history_entry(run.path, run.info, run.summary))
    except ResultsError as error:
        observer.warned(RunWarning("history_not_written", error.message, error.advice))


async def _measure_until_interrupted(
    plan: Plan,
    settings: Settings,
    observer: Observer,
    grow: Grow | None,
    interrupts: _Interrupts,
) -> Ended:
    stop = Stop()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.request()
        observer.stopping(stop.at_once)

    interrupts.act = lambda: loop.call_soon_threadsafe(ask)
    try:
        return await measure(plan, settings, observer, stop, grow=grow)
    finally:
        # All is stored; what is left of the loop is let go of in a moment, and must not be torn.
        interrupts.act = _nothing


def _interrupt() -> None:
    raise KeyboardInterrupt


def _nothing() -> None:
    pass


@dataclass(slots=True)
class _Interrupts:
    """What Ctrl-C and SIGTERM do just now."""

    act: Callable[[], object] = _interrupt


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    """Decide what Ctrl-C and SIGTERM do; only the main thread can be told of them."""
    found = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: found.act()) for number in signals}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def conclude(directory: RunDirectory, report: bool = True) -> FinishedRun:
    """Summarise a run from its directory, and write summary.json and the report there.

    Raises:
        ResultsError: the directory cannot be read or written.
    """
    import msgspec

    from bench.analysis.summarise import summarise
    from bench.analysis.summary_json import to_json
    from bench.results.directory import SUMMARY_FILE, read_run

    run = read_run(directory.path)
    summary = summarise(run.info, run.records)
    text = msgspec.json.format(msgspec.json.encode(to_json(summary)), indent=2)
    directory.write_file(SUMMARY_FILE, text + b"\n")
    path = None
    if report:
        from bench.report import write_report

        path = write_report(directory.path)
    return FinishedRun(directory.path, run.info, summary, path)
