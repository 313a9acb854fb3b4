"""The public Python API: every command is also a function.

import bench
run = bench.run("chat", models=["llama3.2:3b"])
print(run.path, run.summary.cases[0].metrics["ttft_s"].stats["p50"])
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.commands.notebook_progress import usual_observer
from bench.commands.running import Interrupts, finish, interruptible
from bench.commands.sources import ScenarioSource, names
from bench.errors import BenchError, ExitCode, Interrupted, ModelError, ResultsError, gravest
from bench.load.observer import Observer
from bench.load.runner import Grow
from bench.load.session import Ended, Settings, measure
from bench.load.stop import Stop
from bench.results.directory import RunDirectory, kept_note
from bench.results.run import RunInfo, RunStatus, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Plan
from bench.wire.transports import run_measuring

if TYPE_CHECKING:
    from bench.analysis.run.summary import Summary
    from bench.results.directory import Run

__all__ = ["FinishedRun", "make_plan", "run", "run_plan"]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has ended: finished, interrupted or invalid.

    Attributes:
        path: its run directory.
        info: what run.json says.
        summary: what summary.json says.
        report: path of the HTML report; None if none was asked for, or it could not be written.
        not_written: what could not be written though the run has ended well, each with its reason.
    """

    path: Path
    info: RunInfo
    summary: Summary
    report: Path | None = None
    not_written: tuple[RunWarning, ...] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from bench.report.notebook import fragment
        from bench.report.run_page import run_page

        return fragment(run_page([self._read()], [self.summary]))

    def to_pandas(self, what: str = "requests") -> Any:
        """A pandas data frame.

        Args:
            what: "requests": one row a request, raw fields and derived metrics; "cases": one row a
                statistic of a metric of a case, with its interval; "blocks": one row a value of a
                block.

        Raises:
            UsageError: pandas is not installed, or there is no such table.
            ResultsError: the run directory cannot be read.
        """
        return self._frame("pandas", what)

    def to_polars(self, what: str = "requests") -> Any:
        """The same as a polars data frame."""
        return self._frame("polars", what)

    def _frame(self, library: Literal["pandas", "polars"], what: str) -> Any:
        from bench.report.notebook import frame_columns, frame_of

        runs = [self._read()] if what == "requests" else []
        return frame_of(library, frame_columns(runs, [self.summary], what))

    def _read(self) -> Run:
        from bench.results.directory import read_run

        return read_run(self.path)

    @property
    def exit_code(self) -> ExitCode:
        """130 interrupted, else the gravest of its cases.

        Of a case: 5 its numbers cannot be trusted, whatever they say; 1 a threshold failed, 3 one
        needs more data, 0 fine.
        """
        if self.info.status is RunStatus.INTERRUPTED:
            return ExitCode.INTERRUPTED
        from bench.analysis.run.summary import ThresholdVerdict

        codes = {
            ThresholdVerdict.NOT_MET: ExitCode.WORSE,
            ThresholdVerdict.UNSUPPORTED: ExitCode.INCONCLUSIVE,
            ThresholdVerdict.MET: ExitCode.OK,
        }
        invalid = {w.case for w in self.summary.warnings if w.invalidates}
        valid = [t for t in self.summary.thresholds if not invalid & {"", t.case}]
        return gravest([ExitCode.INVALID] * bool(invalid) + [codes[t.verdict] for t in valid])


def make_plan(
    scenario: ScenarioSource,
    *,
    models: str | Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Load a scenario and expand it.

    Only if neither the call nor the scenario names a model, the (first) server is asked for one:
    the loaded model, else the only one installed.

    Args:
        scenario: path of a file, name of a shipped scenario, or its keys as a dict.
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

    models, hosts = names(models), names(hosts)
    loaded = load_scenario(scenario, names(overrides))
    mixed = bool(loaded.mix) and all(part.model for part in loaded.mix)
    if not models and not loaded.models and not mixed:
        first = case_targets(loaded, hosts)[0]
        if not first.url:
            raise ModelError(
                f"no model is named, and {first.name} is started for the run: it cannot be asked",
                "Choose with -m, or name it in the scenario (models).",
            )
        models = [finish(_only_model(settings or Settings(), first.url))]
    return build_plan(loaded, models=models, hosts=hosts, seed=seed)


async def _only_model(settings: Settings, url: str) -> str:
    from bench.load.preflight import resolve_model
    from bench.ollama.control import Control

    async with Control.of(settings.address(url)) as control:
        await control.version()
        return await resolve_model(control)


def run(
    scenario: ScenarioSource,
    *,
    models: str | Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    report: bool = True,
) -> FinishedRun:
    """Run a scenario against its servers: the function behind `ollama-bench run`.

    What to run is said as for `make_plan`, the rest as for `run_plan`.

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
        observer: receives how the run goes.
        report: write report.html as well.
        grow: adds blocks to the plan when those planned have run.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    settings, observer = settings or Settings(), usual_observer(observer)
    with interruptible() as interrupts:
        main = _measure_until_interrupted(plan, settings, observer, grow, interrupts)
        ended = finish(main, run_measuring)
    path = ended.directory.path
    if ended.error is None:
        try:
            finished = conclude(ended.directory, report)
            not_written = RunWarning(WarningCode.HISTORY_NOT_WRITTEN, "")
            return _with_more(finished, not_written, lambda: _index(finished, settings.history))
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped before the report was written; what was measured is kept in {path}",
                f"Write the report with: ollama-bench report {path}",
            ) from None
        except Exception as error:
            error.add_note(kept_note(path))
            raise
    with suppress(BenchError):
        conclude(ended.directory, report)
    ended.error.advise(f"What was measured so far is kept in {path}")
    raise ended.error


def _with_more(run: FinishedRun, failed: RunWarning, write: Callable[[], object]) -> FinishedRun:
    """The run with something more written; if it cannot be, that costs no number: it says so."""
    try:
        write()
    except ResultsError as error:
        said = replace(failed, message=error.message, advice=error.advice)
        return replace(run, not_written=(*run.not_written, said))
    return run


def with_file(run: FinishedRun, name: str, content: bytes) -> FinishedRun:
    """The run with a file more in its directory; if it cannot be written, it says so."""
    if name.endswith(".html"):
        failed = RunWarning(WarningCode.REPORT_NOT_WRITTEN, "")
    else:
        failed = RunWarning(WarningCode.SUMMARY_NOT_WRITTEN, "")
    directory = RunDirectory(run.path, run.info.id)
    return _with_more(run, failed, lambda: directory.write_file(name, content))


def _index(run: FinishedRun, history: str | Path | None) -> None:
    if history is None:
        return
    from bench.analysis.comparison.history_entry import history_entry
    from bench.results.history import History

    History(history).add(history_entry(run.path, run.info, run.summary))


async def _measure_until_interrupted(
    plan: Plan, settings: Settings, observer: Observer, grow: Grow | None, interrupts: Interrupts
) -> Ended:
    afterwards = None
    if plan.fidelity is not None:
        from bench.commands.fidelity import FidelityStage

        afterwards = FidelityStage(plan, observer.place_asked)
    stop = Stop()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.request()
        observer.stopping(stop.at_once)

    interrupts.act = lambda: loop.call_soon_threadsafe(ask)
    for _ in range(interrupts.asked):
        stop.request()
    try:
        return await measure(plan, settings, observer, stop, grow=grow, afterwards=afterwards)
    finally:
        # All is stored; what is left of the loop is let go of in a moment, and must not be torn.
        interrupts.ignore()


def conclude(directory: RunDirectory, report: bool = True) -> FinishedRun:
    """Summarise a run from its directory, and write summary.json and the report there.

    A file that cannot be written costs no number: see `FinishedRun.not_written`.
    """
    import msgspec

    from bench.analysis.run.summarise import summarise
    from bench.analysis.run.summary_json import to_json
    from bench.results.directory import REPORT_FILE, SUMMARY_FILE, read_run

    run = read_run(directory.path)
    summary = summarise(run.info, run.records)
    text = msgspec.json.format(msgspec.json.encode(to_json(summary)), indent=2)
    finished = with_file(FinishedRun(directory.path, run.info, summary), SUMMARY_FILE, text + b"\n")
    if not report:
        return finished
    from bench.report import write_report

    not_written = RunWarning(WarningCode.REPORT_NOT_WRITTEN, "")
    written = _with_more(finished, not_written, lambda: write_report(directory.path))
    return (
        replace(finished, report=directory.path / REPORT_FILE) if written is finished else written
    )
