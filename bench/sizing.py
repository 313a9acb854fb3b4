"""Capacity as a Python function: what `ollama-bench capacity` does.

import bench
found = bench.find_capacity("chat", ["ttft_s.p95 <= 2"], models=["llama3.2:3b"])
print(found.result.load, found.path)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from bench.analysis.capacity.judge import Verdict
from bench.analysis.capacity.kv_memory import kv_shape
from bench.analysis.capacity.limit import Limit as FittedLimit
from bench.analysis.capacity.limit import fit_limit, stated_range
from bench.analysis.capacity.limiting import broken_promise, limiting
from bench.analysis.capacity.promises import ProbeOutcome, check_promise, judge_probe, percentile_of
from bench.analysis.capacity.queueing import mean_wait_s
from bench.analysis.capacity.result import CapacityResult, Limit, Memory, ProbeResult
from bench.analysis.capacity.search import Ending, Probe, Search, SearchSettings
from bench.analysis.capacity.usl import UslFit, fit_usl
from bench.analysis.columns import Columns, columns_of
from bench.analysis.latency import latencies
from bench.analysis.slots import observe_slots
from bench.api import FinishedRun, make_plan, run_plan
from bench.clock import NS
from bench.errors import ExitCode, UsageError
from bench.load.observer import Observer
from bench.load.session import Settings
from bench.results.directory import RunDirectory
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo
from bench.scenario.plan import Arrivals, Block, Case, Load, Plan
from bench.scenario.thresholds import Threshold, parse_threshold

CAPACITY_FILE = "capacity.json"
By = Literal["rate", "users"]

MOST_DISTURBED = 2
"""So many times in a row a probe that this program bent is run again."""

_CLIENT_CODES = frozenset({"client_bent", "late_sends", "worker_died"})
_ENDING_CODES = {
    Ending.CONFIRMED: ExitCode.OK,
    Ending.RANGE: ExitCode.OK,
    Ending.NEVER_SATURATED: ExitCode.OK,
    Ending.NEVER_PASSED: ExitCode.WORSE,
    Ending.OUT_OF_BUDGET: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class SearchFor:
    """What to search for, and how hard.

    Attributes:
        promises: as `check_promise` accepts.
        by: search over arrivals per second, or over users.
        budget_s: no probe is begun that would not end within it.
        ceiling: highest load to try; None = 512 users, or 200 times what one user makes.
        probe_requests: of a plain probe.
        sweep: users of the closed-loop blocks that come first: they show the slots.
    """

    promises: tuple[Threshold, ...]
    by: By = "rate"
    budget_s: float = 1800.0
    ceiling: float | None = None
    probe_requests: int = 200
    sweep: tuple[int, ...] = (1, 2, 3, 4, 6, 8)


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


def parse_promises(expressions: Sequence[str]) -> tuple[Threshold, ...]:
    """Read promises, telling all that is wrong at once.

    Raises:
        UsageError: one is no promise.
    """
    found, wrong = [], []
    for text in expressions:
        try:
            promise = parse_threshold(text)
        except ValueError as error:
            wrong.append(f"{text}: {error}")
            continue
        problem = check_promise(promise)
        if problem:
            wrong.append(problem)
        found.append(promise)
    if not expressions:
        wrong.append("no promise is given: say what must hold, e.g. --slo 'ttft_s.p95<=2'")
    if wrong:
        raise UsageError("\n".join(wrong))
    return tuple(found)


def find_capacity(
    scenario: str | Path,
    promises: Sequence[str],
    *,
    by: By = "rate",
    budget_s: float = 1800.0,
    ceiling: float | None = None,
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
        ceiling: highest load to try.
        models: take the place of the scenario's models.
        hosts: take the place of the scenario's targets.
        overrides: `path=value` each.
        seed: takes the place of the scenario's seed.
        settings: where results go, and how to send.
        observer: is told how the run goes.

    Raises:
        BenchError: it could not be run; see `bench.errors`.
    """
    wanted = SearchFor(parse_promises(promises), by, budget_s, ceiling)
    plan = make_plan(
        scenario, models=models, hosts=hosts, overrides=overrides, seed=seed, settings=settings
    )
    return search_plan(capacity_plan(plan, wanted), wanted, settings=settings, observer=observer)


def capacity_plan(plan: Plan, wanted: SearchFor) -> Plan:
    """The plan a search begins with: one case of the scenario, swept over a few users.

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
    base = plan.cases[0]
    cases = [
        _case_at(base, users, Load("closed", users=users, requests=max(12, 4 * users)), "users")
        for users in wanted.sweep
    ]
    blocks = [Block(i, case.id, 0, _seed(plan, i)) for i, case in enumerate(cases)]
    return replace(plan, name=f"{plan.name}-capacity", cases=tuple(cases), blocks=tuple(blocks))


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
    grower = _Grower(plan, wanted)
    run = run_plan(plan, settings=settings, observer=observer, grow=grower)
    result = grower.result(run.info)
    text = msgspec.json.format(msgspec.json.encode(result), indent=2)
    RunDirectory(run.path, run.info.id).write_file(CAPACITY_FILE, text + b"\n")
    return FoundCapacity(run.path, result, run)


def read_capacity(path: Path) -> CapacityResult | None:
    """What a run directory's search found; None if it was no search."""
    file = path / CAPACITY_FILE
    if not file.is_file():
        return None
    return msgspec.json.decode(file.read_bytes(), type=CapacityResult)


@dataclass(slots=True)
class _Grower:
    """Adds a probe to the run whenever one has been judged."""

    plan: Plan
    wanted: SearchFor
    search: Search | None = None
    waiting: Probe | None = None
    probes: list[ProbeResult] = field(default_factory=list)
    outcomes: list[tuple[Probe, ProbeOutcome, Columns, BlockInfo]] = field(default_factory=list)
    disturbed: int = 0
    warnings_seen: int = 0
    response_s: float = 1.0

    def __call__(
        self, info: RunInfo, records: Sequence[RequestRecord]
    ) -> tuple[Case, Block] | None:
        if self.search is None:
            self.search = Search(self._search_settings(info))
        elif self.waiting is not None and not self._disturbed(info):
            self._judge(info, records, self.search, self.waiting)
        self.warnings_seen = len(info.warnings)
        if self.disturbed > MOST_DISTURBED:
            return None
        probe = self.search.next_probe()
        if probe is None or not self._affordable(probe, info):
            self.search.stop()
            return None
        self.waiting = probe
        case = self._case(probe)
        index = len(info.plan.blocks)
        repetition = sum(b.case == case.id for b in info.plan.blocks)
        return case, Block(index, case.id, repetition, _seed(self.plan, index))

    def _disturbed(self, info: RunInfo) -> bool:
        """Whether this program bent the last probe, which is then run again and not judged."""
        new = info.warnings[self.warnings_seen :]
        bent = any(w.code in _CLIENT_CODES and w.invalidates for w in new)
        self.disturbed = self.disturbed + 1 if bent else 0
        return bent

    def result(self, info: RunInfo) -> CapacityResult:
        search = self.search or Search(SearchSettings(start=1.0))
        answer = search.answer()
        fits = self._fits(answer.low, answer.high)
        first = min(fits, key=lambda f: f[1].load, default=None)
        low, high = stated_range(first[1] if first else None, answer)
        breaks, limit = self._reason(answer.high)
        slots = _slots_seen(self.outcomes)
        if not breaks and first is not None and answer.high is not None:
            breaks = first[0]
        return CapacityResult(
            run_id=info.id,
            model=self.plan.cases[0].model,
            by=self.wanted.by,
            promises=tuple(p.text for p in self.wanted.promises),
            ending=answer.ending,
            load=answer.load,
            best=first[1].load if first else None,
            low=low,
            high=high,
            breaks=breaks,
            limited_by=Limit.CLIENT if self.disturbed > MOST_DISTURBED else limit,
            probes=self._with_model(slots),
            slots_observed=slots,
            mean_response_s=self._response_at(answer.load),
            budget_s=self.wanted.budget_s,
            spent_s=info.blocks[-1].end_ns / NS if info.blocks else 0.0,
            simulated=info.simulated,
            memory=_memory(info),
            usl=self._usl(info, slots),
        )

    def _with_model(self, slots: int | None) -> tuple[ProbeResult, ...]:
        """The probes, with the wait that a queue before so many slots would have."""
        if slots is None or self.wanted.by != "rate":
            return tuple(self.probes)
        return tuple(
            replace(
                p,
                modelled_wait_s=mean_wait_s(
                    slots, p.load, p.service_mean_s, cv2_service=p.service_cv2
                ),
            )
            if p.service_mean_s is not None and p.service_cv2 is not None
            else p
            for p in self.probes
        )

    def _usl(self, info: RunInfo, slots: int | None) -> UslFit | None:
        """Throughput against users in the sweep, up to the slots."""
        levels = [
            (users, requests / max((b.window_end_ns - b.window_start_ns) / NS, 1e-9))
            for users, b, case in zip(self.wanted.sweep, info.blocks, self.plan.cases, strict=False)
            if slots is not None and users <= slots and (requests := case.load.requests)
        ]
        try:
            return fit_usl([u for u, _ in levels], [x for _, x in levels])
        except ValueError:
            return None

    def _search_settings(self, info: RunInfo) -> SearchSettings:
        # One user's own pace is what the server can do for sure; half of it is where to begin.
        first = info.blocks[0]
        requests = self.plan.cases[0].load.requests or 1
        pace = requests / max((first.window_end_ns - first.window_start_ns) / NS, 1e-3)
        self.response_s = 1 / pace
        by_users = self.wanted.by == "users"
        ceiling = self.wanted.ceiling or (512 if by_users else 200 * pace)
        return SearchSettings(
            start=1 if by_users else min(_round(pace / 2), ceiling),
            ceiling=ceiling,
            whole=by_users,
            probe_requests=self.wanted.probe_requests,
            precision=1.1,
            extensions=2,
        )

    def _affordable(self, probe: Probe, info: RunInfo) -> bool:
        rate = probe.load if self.wanted.by == "rate" else probe.load / self.response_s
        takes_s = probe.requests / rate + 2 * self.response_s
        spent_s = info.blocks[-1].end_ns / NS
        return spent_s + takes_s <= self.wanted.budget_s

    def _case(self, probe: Probe) -> Case:
        if self.wanted.by == "users":
            users = int(probe.load)
            # Settling in is cut off by share, so every user needs several requests.
            requests = max(probe.requests, 5 * users)
            load = Load("closed", users=users, requests=requests, ramp_up_s=self.response_s)
            return _case_at(self.plan.cases[0], users, load, "users")
        load = Load(
            "open",
            rate_per_s=_round(probe.load),
            arrivals=Arrivals("poisson"),
            requests=probe.requests,
        )
        return _case_at(self.plan.cases[0], _round(probe.load), load, "rate")

    def _judge(
        self, info: RunInfo, records: Sequence[RequestRecord], search: Search, probe: Probe
    ) -> None:
        self.waiting = None
        block = info.blocks[-1]
        case_ids = [c.id for c in info.plan.cases]
        measured = columns_of([r for r in records if r.phase is Phase.MEASURE], case_ids)
        outcome = judge_probe(probe.load, measured, self.wanted.promises, block.dropped)
        search.record(probe, outcome.verdict)
        self.outcomes.append((probe, outcome, measured, block))
        served = measured.select(measured.ok)
        times = latencies(served)
        service = times["prompt_eval_s"] + times["eval_s"]
        service = service[~np.isnan(service)]
        window_s = max((block.window_end_ns - block.window_start_ns) / NS, 1e-9)
        self.probes.append(
            ProbeResult(
                block=block.index,
                case=block.case,
                load=probe.load,
                purpose=str(probe.purpose),
                verdict=str(outcome.verdict),
                growing=outcome.growing,
                requests=len(measured),
                duration_s=window_s,
                goodput_per_s=_in_time(measured, self.wanted.promises) / window_s,
                kept=outcome.kept,
                queue_mean_s=float(np.nanmean(times["queue_s"])) if len(service) else None,
                service_mean_s=float(service.mean()) if len(service) else None,
                service_cv2=float(service.var() / service.mean() ** 2) if len(service) else None,
            )
        )

    def _fits(self, low: float | None, high: float | None) -> list[tuple[str, FittedLimit]]:
        """The limit of each promise, from all probes together."""
        if low is None or high is None:
            return []
        middle = math.sqrt(low * high)
        fits = []
        for i, promise in enumerate(self.wanted.promises):
            shares = [s for _, o, _, _ in self.outcomes if (s := o.kept[i].share) is not None]
            fit = fit_limit(shares, percentile_of(promise), middle) if shares else None
            if fit is not None:
                fits.append((promise.text, fit))
        return fits

    def _reason(self, failed_at: float | None) -> tuple[str, Limit]:
        """Which promise broke at the lowest load that failed, and why."""
        if failed_at is None:
            return "", Limit.NONE
        for probe, outcome, measured, block in reversed(self.outcomes):
            if probe.load == failed_at and outcome.verdict is Verdict.FAIL:
                share = block.after.gpu_share if block.after else None
                return broken_promise(outcome), limiting(measured, outcome, share)
        return "", Limit.NONE

    def _response_at(self, load: float | None) -> float | None:
        for probe, _, measured, _ in reversed(self.outcomes):
            if probe.load == load and measured.ok.any():
                return float(latencies(measured.select(measured.ok))["e2e_s"].mean())
        return None


def _slots_seen(
    outcomes: Sequence[tuple[Probe, ProbeOutcome, Columns, BlockInfo]],
) -> int | None:
    """The slots that the busiest probe showed."""
    seen = [observe_slots(c.select(c.ok)) for _, _, c, _ in outcomes if c.ok.any()]
    known = [s for s in seen if s is not None]
    exact = [s.observed for s in known if s.exact]
    return max(exact or [s.observed for s in known], default=None)


def _case_at(base: Case, load: float, spec: Load, axis: str) -> Case:
    axes = {k: v for k, v in base.axes.items() if k not in ("users", "rate")}
    axes[axis] = f"{load:g}"
    return replace(base, id=f"{base.model}, {axis}={load:g}", axes=axes, load=spec)


def _in_time(measured: Columns, promises: Sequence[Threshold]) -> int:
    ok = measured.select(measured.ok)
    times = latencies(ok)
    good = [times[p.metric] <= p.value for p in promises if p.metric in times]
    return sum(map(all, zip(*good, strict=True))) if good else len(ok)


def _memory(info: RunInfo) -> Memory | None:
    model = info.models[0] if info.models else None
    shape = kv_shape(model.model_info) if model else None
    if shape is None:
        return None
    after = info.blocks[-1].after if info.blocks else None
    return Memory(
        shape,
        shape.bytes_per_token(),
        after.size_bytes if after else None,
        after.gpu_share if after else None,
    )


def _round(load: float) -> float:
    """Four significant digits: enough to search, and readable in a case's id."""
    return float(f"{load:.4g}")


def _seed(plan: Plan, index: int) -> int:
    return (plan.seed * 1_000_003 + index) % 2**63
