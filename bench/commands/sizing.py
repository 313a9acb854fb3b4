"""Capacity as a Python function: what `ollama-bench capacity` does.

import bench
found = bench.find_capacity("chat", ["ttft_s.p95 <= 2"], models=["llama3.2:3b"])
print(found.result.load, found.path)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.analysis.capacity.promises import parse_promises
from bench.analysis.capacity.result import CapacityResult, Limit
from bench.analysis.capacity.search import Ending
from bench.commands.probing import By, Prober, SearchFor, block_seed, sweep_case
from bench.commands.run import FinishedRun, make_plan, run_plan
from bench.errors import ExitCode, UsageError
from bench.load.observer import Observer
from bench.load.session import Settings
from bench.results.directory import RunDirectory
from bench.scenario.plan import Block, Plan

CAPACITY_FILE = "capacity.json"

_ENDING_CODES = {
    Ending.CONFIRMED: ExitCode.OK,
    Ending.RANGE: ExitCode.OK,
    Ending.NEVER_SATURATED: ExitCode.OK,
    Ending.NEVER_PASSED: ExitCode.WORSE,
    Ending.UNDECIDED: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class FoundCapacity:
    """A search that has ended.

    Attributes:
        path: its run directory, with `capacity.json` and `capacity.html`.
        run: the run that the probes are blocks of.
    """

    path: Path
    result: CapacityResult
    run: FinishedRun

    @property
    def exit_code(self) -> ExitCode:
        """0 an answer, 1 the promise never held, 3 out of time, 5 the client was the limit."""
        if self.run.exit_code is ExitCode.INTERRUPTED:
            return ExitCode.INTERRUPTED
        if self.result.limited_by is Limit.CLIENT:
            return ExitCode.INVALID
        return _ENDING_CODES[self.result.ending]


def find_capacity(
    scenario: str | Path,
    promises: Sequence[str],
    *,
    by: By = "rate",
    budget_s: float = 1800.0,
    ceiling: float | None = None,
    slots_asked: int | None = None,
    gpu_bytes: int | None = None,
    cache_type: str | None = None,
    models: Sequence[str] = (),
    hosts: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> FoundCapacity:
    """Search for the highest load at which every promise holds.

    Args:
        scenario: file or shipped name; its load is replaced by the probes'.
        promises: e.g. "ttft_s.p95 <= 2".
        by: search over "rate" or over "users".
        budget_s: no probe is begun that would not end within it.
        ceiling: highest load to try, above 0; at least 1 user.
        slots_asked: what the server was set to, to be compared with what is observed.
        gpu_bytes: memory of the server's GPUs, for the bound of the context's memory.
        cache_type: of keys and values in the server, e.g. "q8_0".
        models: take the place of the scenario's models.
        hosts: take the place of the scenario's targets.
        overrides: `path=value` each.
        seed: takes the place of the scenario's seed.
        settings: where results go, and how to send.
        observer: is told how the run goes.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    if ceiling is not None and not (0 < ceiling < math.inf and (by == "rate" or ceiling >= 1)):
        what = "at least 1 user" if by == "users" else "a rate above 0"
        raise UsageError(f"the highest load to try must be {what}; it is {ceiling:g}")
    wanted = SearchFor(
        parse_promises(promises), by, budget_s, ceiling, slots_asked, gpu_bytes, cache_type
    )
    plan = make_plan(
        scenario, models=models, hosts=hosts, overrides=overrides, seed=seed, settings=settings
    )
    return search_plan(capacity_plan(plan), wanted, settings=settings, observer=observer)


def capacity_plan(plan: Plan) -> Plan:
    """The plan a search begins with: one case of the scenario, with one user.

    Raises:
        UsageError: the scenario has several cases besides load levels.
    """
    kinds = {
        tuple((k, v) for k, v in c.axes.items() if k not in ("users", "rate")) for c in plan.cases
    }
    if len(kinds) > 1:
        raise UsageError(
            f"scenario {plan.name} has {len(kinds)} cases besides its load levels; a search is "
            "about one",
            "Choose one: -m MODEL, and --set 'matrix={}'.",
        )
    case = sweep_case(plan.cases[0], users=1)
    block = Block(0, case.id, 0, block_seed(plan, 0))
    return replace(plan, name=f"{plan.name}-capacity", cases=(case,), blocks=(block,))


def search_plan(
    plan: Plan,
    wanted: SearchFor,
    *,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> FoundCapacity:
    """Run a capacity plan and its search, and write capacity.json beside the run's files.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    prober = Prober(plan, wanted)
    run = run_plan(plan, settings=settings, observer=observer, grow=prober)
    result = prober.result(run.info, run.summary)
    text = msgspec.json.format(msgspec.json.encode(result), indent=2)
    RunDirectory(run.path, run.info.id).write_file(CAPACITY_FILE, text + b"\n")
    return FoundCapacity(run.path, result, run)


def read_capacity(path: Path) -> CapacityResult | None:
    """What a run directory's search found; None if it was no search."""
    file = path / CAPACITY_FILE
    if not file.is_file():
        return None
    return msgspec.json.decode(file.read_bytes(), type=CapacityResult)
