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

from bench.analysis.capacity.memory import BYTES_PER_ELEMENT
from bench.analysis.capacity.probe import By, SearchEnding
from bench.analysis.capacity.promises import parse_promises
from bench.analysis.capacity.result import Bottleneck, CapacityResult
from bench.commands.probe_loads import sweep_case
from bench.commands.probing import Prober, SearchFor, block_seed
from bench.commands.run import FinishedRun, make_plan, run_plan, with_file
from bench.commands.sources import ScenarioSource, names
from bench.errors import ExitCode, UsageError
from bench.load.observer import Observer
from bench.load.session import Settings
from bench.scenario.plan import Block, Plan
from bench.thresholds import to_file

CAPACITY_FILE = "capacity.json"

_ENDING_CODES = {
    SearchEnding.CONFIRMED: ExitCode.OK,
    SearchEnding.RANGE: ExitCode.OK,
    SearchEnding.NEVER_SATURATED: ExitCode.OK,
    SearchEnding.NEVER_PASSED: ExitCode.WORSE,
    SearchEnding.UNDECIDED: ExitCode.INCONCLUSIVE,
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

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from bench.report.capacity.capacity_page import capacity_page
        from bench.report.notebook import fragment

        return fragment(capacity_page(self.result, charts=False))

    @property
    def exit_code(self) -> ExitCode:
        """0 an answer, 1 the promise never held, 3 out of time, 5 the client was the limit.

        Also 5 if the whole run must not be trusted.
        """
        if self.result.interrupted:
            return ExitCode.INTERRUPTED
        if self.result.invalid or self.result.limited_by is Bottleneck.CLIENT:
            return ExitCode.INVALID
        return _ENDING_CODES[self.result.ending]


def find_capacity(
    scenario: ScenarioSource,
    promises: str | Sequence[str],
    *,
    by: By = "rate",
    budget_s: float = 1800.0,
    ceiling: float | None = None,
    slots_asked: int | None = None,
    gpu_bytes: int | None = None,
    cache_type: str | None = None,
    models: str | Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    seed: int | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> FoundCapacity:
    """Search for the highest load at which every promise holds.

    Args:
        scenario: file, shipped name or keys; its load is replaced by the probes'.
        promises: e.g. "ttft_s.p95 <= 2".
        by: search over "rate", over "users", or over "sessions" at once, played whole.
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
        observer: receives how the run goes.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    if ceiling is not None and not (0 < ceiling < math.inf and (by == "rate" or ceiling >= 1)):
        what = "a rate above 0" if by == "rate" else f"at least 1 {by.removesuffix('s')}"
        raise UsageError(f"the highest load to try must be {what}; it is {ceiling:g}")
    if cache_type is not None and cache_type not in BYTES_PER_ELEMENT:
        known = ", ".join(BYTES_PER_ELEMENT)
        raise UsageError(f"the cache type {cache_type!r} is not known", f"Give one of {known}.")
    promised = parse_promises(names(promises), by)
    wanted = SearchFor(promised, by, budget_s, ceiling, slots_asked, gpu_bytes, cache_type)
    plan = make_plan(
        scenario, models=models, hosts=hosts, overrides=overrides, seed=seed, settings=settings
    )
    plan = capacity_plan(plan, by, budget_s)
    return search_plan(plan, wanted, settings=settings, observer=observer)


def capacity_plan(plan: Plan, by: By = "rate", budget_s: float | None = None) -> Plan:
    """The plan a search begins with: one case of the scenario, with one user.

    Nothing more is sent after the budget, if it is given.

    Raises:
        UsageError: the scenario has several cases besides load levels, or no sessions to search
            over.
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
    if by == "sessions" and not plan.cases[0].prompts.in_sessions:
        raise UsageError(
            f"--by sessions: scenario {plan.name} has none, its requests stand alone",
            "Say --by users, or take a scenario with prompts.conversation, prompts.agent or "
            "prompts.sessions, such as agents-at-once.",
        )
    case = sweep_case(plan.cases[0], 1, by, budget_s)
    block = Block(0, case.id, 0, block_seed(plan, 0))
    return replace(plan, name=f"{plan.name}-capacity", cases=(case,), blocks=(block,))


def search_plan(
    plan: Plan,
    wanted: SearchFor,
    *,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> FoundCapacity:
    """Run a capacity plan and its search, and write capacity.json beside the run's files."""
    prober = Prober(plan, wanted)
    run = run_plan(plan, settings=settings, observer=observer, grow=prober)
    result = prober.result(run.info, run.summary)
    text = msgspec.json.format(msgspec.json.encode(result, enc_hook=to_file), indent=2)
    return FoundCapacity(run.path, result, with_file(run, CAPACITY_FILE, text + b"\n"))
