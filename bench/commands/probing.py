"""Runs a search for capacity: adds a block to the run whenever the last one has been judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bench.analysis.capacity.judge import ProbeVerdict
from bench.analysis.capacity.judged_search import FoundLimit, JudgedSearch
from bench.analysis.capacity.memory import memory_bound
from bench.analysis.capacity.probe import By, Probe, SearchEnding, SearchSettings
from bench.analysis.capacity.probed import (
    JudgedProbe,
    allowed_share,
    alone,
    broken_promise,
    limiting,
    probe_result,
    window_s,
)
from bench.analysis.capacity.promises import check_judgeable, least_to_prove
from bench.analysis.capacity.result import Bottleneck, CapacityResult
from bench.analysis.capacity.sweep import LADDER, slots_of, sweep_of
from bench.analysis.run.columns import Columns
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.analysis.run.slots import Slots
from bench.analysis.run.summary import Summary
from bench.clock import NS
from bench.commands.probe_loads import ProbeLoads, rounded
from bench.report.model import slots_asked
from bench.results.record import Phase, RequestRecord
from bench.results.run import RunInfo, RunStatus
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Block, Case, Plan
from bench.thresholds import Threshold

MOST_SPOILED = 2
"""So many times in a row a block is run again: that this program bent, that was not measured, or in
which somebody else made the server load the model anew."""
SWEEP_SHARE = 0.25
"""No level of the sweep is begun after this share of the time allowed."""
BEYOND_SLOTS = 2
"""The sweep ends at so many times the slots."""
LEAST_PROBE = 60
LATE_REQUESTS = 3
"""A locating probe expects so many late requests at the limit."""
CEILING = 20
"""Without another wish, rates end at so many times the best of the sweep."""
MOST_USERS = 512

_CLIENT_CODES = (
    WarningCode.CLIENT_BENT, WarningCode.CLIENT_STALLED, WarningCode.LATE_SENDS,
    WarningCode.WORKER_DIED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SearchFor:
    """What to search for, and how hard.

    Attributes:
        promises: as `check_promise` accepts.
        by: search over arrivals per second, over users, or over sessions at once.
        budget_s: no probe is begun that would not end within it.
        ceiling: highest load to try; None = 512 users, or 20 times the best rate of the sweep.
        slots_asked: what the server was set to; None = as the run knows.
        gpu_bytes: memory of the server's GPUs; None = as its driver says, if it runs here.
        cache_type: of keys and values; None = as the run knows, else 16 bits.
    """

    promises: tuple[Threshold, ...]
    by: By = "rate"
    budget_s: float = 1800.0
    ceiling: float | None = None
    slots_asked: int | None = None
    gpu_bytes: int | None = None
    cache_type: str | None = None


@dataclass(slots=True)
class Prober:
    """First a sweep over a few users, then the search; the `Grow` of its run."""

    plan: Plan
    wanted: SearchFor
    _loads: ProbeLoads = field(init=False)
    _hunt: JudgedSearch | None = None
    _waiting: Probe | None = None
    _judged: list[JudgedProbe] = field(default_factory=list)
    _swept: list[Columns] = field(default_factory=list)
    _alone: tuple[str, Bottleneck] | None = None
    _bent: int = 0
    _lost: int = 0
    _warnings_seen: int = 0

    def __post_init__(self) -> None:
        self._loads = ProbeLoads(self.plan.cases[0], self.wanted.by, self.wanted.promises)

    def __call__(
        self, info: RunInfo, records: Sequence[RequestRecord]
    ) -> tuple[Case, Block] | None:
        """The next block: a further level of the sweep, or a probe."""
        spoiled = self._spoiled(info, records)
        if max(self._bent, self._lost) > MOST_SPOILED:
            return None
        if self._hunt is None:
            return self._level_again(info) if spoiled else self._after_level(info, records)
        if self._waiting is not None and not spoiled:
            self._judge(info, records, self._hunt, self._waiting)
        return self._next_probe(info, self._hunt)

    def _level_again(self, info: RunInfo) -> tuple[Case, Block] | None:
        if _spent_s(info) > self.wanted.budget_s:
            return None
        return self._block(info, info.plan.case(info.blocks[-1].case))

    def _after_level(
        self, info: RunInfo, records: Sequence[RequestRecord]
    ) -> tuple[Case, Block] | None:
        self._take_level(info, records)
        if self._alone is not None and self._alone[0]:
            return None
        users = self._next_level(info)
        if users is not None:
            left_s = self.wanted.budget_s - _spent_s(info)
            return self._block(info, self._loads.level(users, left_s))
        self._hunt = JudgedSearch(self._search_settings(), self.wanted.promises)
        return self._next_probe(info, self._hunt)

    def _next_probe(self, info: RunInfo, hunt: JudgedSearch) -> tuple[Case, Block] | None:
        probe = hunt.next_probe(partial(self._affords, info))
        self._waiting = probe
        return None if probe is None else self._block(info, self._loads.probe(probe))

    def result(self, info: RunInfo, summary: Summary) -> CapacityResult:
        """What was found, once the run has ended."""
        wanted = self.wanted
        hunt = self._hunt or JudgedSearch(SearchSettings(start=1.0), wanted.promises)
        found = hunt.found()
        ending = found.ending
        slots = self._slots()
        breaks, limit = self._reason(found)
        if self._alone is not None and self._alone[0]:
            ending, (breaks, limit) = SearchEnding.NEVER_PASSED, self._alone
        if self._bent > MOST_SPOILED:
            limit = Bottleneck.CLIENT
        elif self._lost > MOST_SPOILED:
            limit = Bottleneck.ERRORS
            ending = ending if self._judged else SearchEnding.NEVER_PASSED
        case = self.plan.cases[0]
        swept = [c for c in summary.cases if c.axes.get("part") == "sweep"]
        observed = slots.observed if slots else None
        waiting_at = observed if wanted.by == "rate" else None
        return CapacityResult(
            run_id=info.id,
            model=case.model,
            by=wanted.by,
            promises=wanted.promises,
            ending=ending,
            load=found.load,
            held=found.held,
            broke=found.broke,
            best=found.best,
            low=found.low,
            high=found.high,
            breaks=breaks,
            limited_by=limit,
            probes=tuple(probe_result(j, wanted.promises, waiting_at) for j in self._judged),
            slots_observed=observed,
            slots_exact=bool(slots and slots.exact),
            slots_asked=wanted.slots_asked or slots_asked(info.targets, case.target),
            mean_response_s=self._response_at(found.load),
            budget_s=wanted.budget_s,
            spent_s=_spent_s(info),
            simulated=info.simulated,
            interrupted=info.status is RunStatus.INTERRUPTED,
            # What spoiled single blocks is no reason: they were run again.
            invalid=tuple(w.message for w in summary.warnings if w.invalidates and not w.case),
            sweep=sweep_of(swept, info.blocks, observed),
            memory=memory_bound(
                info, observed, gpu_bytes=wanted.gpu_bytes, cache_type=wanted.cache_type
            ),
        )

    def _take_level(self, info: RunInfo, records: Sequence[RequestRecord]) -> None:
        """Look at the level of the sweep that has just ended."""
        columns = _measured(info, records)
        ok = columns.select(columns.ok)
        check_judgeable(columns, self.wanted.promises)
        self._swept.append(ok)
        if self._alone is None:
            self._alone = alone(columns, self.wanted.promises, info.blocks[-1].gpu_share)
        self._loads.learn(columns, window_s(info.blocks[-1]), first=len(self._swept) == 1)

    def _next_level(self, info: RunInfo) -> int | None:
        """Users of the next level of the sweep; None if it has shown enough."""
        slots, level = slots_of(self._swept), len(self._swept)
        if slots is None or level >= len(LADDER):
            return None
        if _spent_s(info) > SWEEP_SHARE * self.wanted.budget_s:
            return None
        beyond = LADDER[level - 1] >= BEYOND_SLOTS * slots.observed
        return None if slots.exact and beyond else LADDER[level]

    def _search_settings(self) -> SearchSettings:
        allowed = min(allowed_share(p) for p in self.wanted.promises)
        locate = max(LEAST_PROBE, math.ceil(LATE_REQUESTS / max(allowed, 1e-3)))
        prove = max(map(least_to_prove, self.wanted.promises))
        slots = self._slots()
        served = slots.observed if slots else 1
        common = SearchSettings(1.0, slots=served, probe_requests=locate, proof_requests=prove)
        if self.wanted.by != "rate":
            most = math.floor(self.wanted.ceiling or MOST_USERS)
            return replace(common, start=min(served, most), ceiling=most, whole=True)
        best = self._loads.best_rate or 1.0
        ceiling = self.wanted.ceiling or CEILING * best
        start = min(rounded(best / 2), ceiling)
        return replace(common, start=start, ceiling=ceiling, saturation=best, cv2=self._cv2())

    def _cv2(self) -> float:
        """How much the time a request is served varies: squared coefficient of variation."""
        times = [t["prompt_eval_s"] + t["eval_s"] for t in map(latencies, self._swept)]
        ratios = np.concatenate([t / np.nanmean(t) for t in times if np.any(t > 0)] or [np.ones(1)])
        return float(np.nanvar(ratios))

    def _affords(self, info: RunInfo, load: float) -> int:
        slots = self._slots()
        left_s = self.wanted.budget_s - _spent_s(info)
        return self._loads.affords(left_s, load, slots.observed if slots else 1)

    def _block(self, info: RunInfo, case: Case) -> tuple[Case, Block]:
        index = len(info.plan.blocks)
        repetition = sum(b.case == case.id for b in info.plan.blocks)
        return case, Block(index, case.id, repetition, block_seed(self.plan, index))

    def _spoiled(self, info: RunInfo, records: Sequence[RequestRecord]) -> bool:
        """Whether the last block says nothing, and is run again."""
        new = info.warnings[self._warnings_seen :]
        self._warnings_seen = len(info.warnings)
        bent = any(w.code in _CLIENT_CODES and w.invalidates for w in new)
        lost = all(r.phase is not Phase.MEASURE for r in records)
        lost |= any(w.code is WarningCode.RELOADED and w.invalidates for w in new)
        self._bent = self._bent + 1 if bent else 0
        self._lost = self._lost + 1 if lost else 0
        return bent or lost

    def _judge(
        self, info: RunInfo, records: Sequence[RequestRecord], hunt: JudgedSearch, probe: Probe
    ) -> None:
        block = info.blocks[-1]
        measured = _measured(info, records)
        check_judgeable(measured, self.wanted.promises)
        sample = self._loads.sample(measured, block.dropped, probe)
        outcome = hunt.record(probe, sample)
        self._judged.append(JudgedProbe(probe, outcome, measured, block, sample.judged))

    def _slots(self) -> Slots | None:
        return slots_of([*self._swept, *(j.measured.select(j.measured.ok) for j in self._judged)])

    def _reason(self, found: FoundLimit) -> tuple[str, Bottleneck]:
        """Which promise breaks first, and why: at the lowest load that failed, or leaned to it."""
        failed = [j for j in self._judged if j.outcome.verdict is ProbeVerdict.FAIL]
        failed = [j for j in failed if j.probe.load == found.broke]
        leaning = [j for j in self._judged if j.outcome.leans is ProbeVerdict.FAIL]
        if not failed and (not leaning or found.high is None):
            return "", Bottleneck.NONE
        j = failed[-1] if failed else min(leaning, key=lambda j: j.probe.load)
        fitted = next((p for p in self.wanted.promises if p.text == found.breaks), None)
        broken = broken_promise(j.outcome) or fitted
        return broken.text if broken else "", limiting(j.measured, broken, j.block.gpu_share)

    def _response_at(self, load: float | None) -> float | None:
        """Mean time of a request at a load, from the probe that was nearest to it."""
        answered = [j for j in self._judged if j.measured.ok.any()]
        if load is None or not answered:
            return None
        nearest = min(reversed(answered), key=lambda j: abs(math.log(j.probe.load / load)))
        served = nearest.measured.select(nearest.measured.ok)
        return float(latencies(served)["e2e_s"].mean())


def block_seed(plan: Plan, index: int) -> int:
    """Seed of a block that a capacity run adds."""
    return (plan.seed * 1_000_003 + index) % 2**63


def _measured(info: RunInfo, records: Sequence[RequestRecord]) -> Columns:
    ids = [case.id for case in info.plan.cases]
    return columns_of([r for r in records if r.phase is Phase.MEASURE], ids)


def _spent_s(info: RunInfo) -> float:
    return info.blocks[-1].end_ns / NS if info.blocks else 0.0
