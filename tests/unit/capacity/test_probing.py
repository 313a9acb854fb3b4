"""Whole searches against the simulated server, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from virtual_runs import MODEL, closed, plan_of, run_virtually
from virtual_server import model

from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.promises import parse_promises
from bench.analysis.capacity.result import Bottleneck, CapacityResult
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.analysis.run.summarise import summarise
from bench.commands.probing import Prober, SearchFor
from bench.commands.run import FinishedRun
from bench.commands.sizing import FoundCapacity, capacity_plan, find_capacity
from bench.errors import ExitCode, MeasurementInvalid, UsageError
from bench.report.capacity.capacity_page import capacity_page
from bench.report.formats import render
from bench.results.record import RequestRecord
from bench.results.run import RunInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Arrivals, Block, Case, Load
from bench.server.faults import Fault, FaultPlan, Kind
from bench.simulation.profile import Length, ModelProfile
from bench.thresholds import from_file, to_file

SERVER = model(
    step_ms=10,
    step_ms_per_sequence=2,
    prefill_tok_per_s=2000,
    output_tokens=Length(median=12, p95=24),
)
SLOW = model(step_ms=400, prefill_tok_per_s=2000, output_tokens=Length(median=12, p95=14))
Bend = Callable[[RunInfo], RunInfo]


def found_on(
    folder: Path,
    *promises: str,
    by: str = "rate",
    bend: Bend | None = None,
    faults: Sequence[Fault] = (),
    parallel: int = 4,
    server: ModelProfile = SERVER,
    **wanted: object,
) -> FoundCapacity:
    wanted = {"budget_s": 36_000.0, **wanted}
    plan = capacity_plan(plan_of(closed(1, 20)), budget_s=wanted["budget_s"])  # type: ignore[arg-type]
    prober = Prober(plan, SearchFor(parse_promises(promises), by, **wanted))  # type: ignore[arg-type]

    def grow(info: RunInfo, records: Sequence[RequestRecord]) -> tuple[Case, Block] | None:
        return prober(bend(info) if bend else info, records)

    run = run_virtually(
        plan, server, folder, grow=grow, faults=FaultPlan(faults), num_parallel=parallel
    )
    summary = summarise(run.info, run.records)
    result = prober.result(run.info, summary)
    stored = msgspec.json.encode(result, enc_hook=to_file)
    assert msgspec.json.decode(stored, type=CapacityResult, dec_hook=from_file) == result
    return FoundCapacity(run.path, result, FinishedRun(run.path, run.info, summary))


def p95_at(folder: Path, load: Load) -> float:
    run = run_virtually(plan_of(load, seed=99), SERVER, folder, num_parallel=4)
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    times = latencies(columns.select(columns.measured & columns.ok))["ttft_s"]
    return float(np.quantile(times[len(times) // 5 :], 0.95))


@pytest.mark.slow
def test_a_rate_is_found_that_holds_and_above_it_breaks(tmp_path: Path) -> None:
    found = found_on(tmp_path, "ttft_s.p95 <= 0.5", budget_s=500.0)
    result = found.result
    assert result.ending in (SearchEnding.RANGE, SearchEnding.CONFIRMED)
    assert found.exit_code is ExitCode.OK
    assert result.best is not None
    assert result.low is not None
    assert result.high is not None
    assert result.low <= result.best <= result.high
    assert result.high / result.low < 1.6

    def at(rate: float) -> Load:
        return Load("open", rate_per_s=rate, arrivals=Arrivals("poisson"), requests=300)

    assert p95_at(tmp_path, at(result.low)) < 0.5
    assert p95_at(tmp_path, at(1.1 * result.high)) > 0.5
    assert result.breaks == "ttft_s.p95 <= 0.5"
    assert result.limited_by in (Bottleneck.PREFILL, Bottleneck.SLOTS)
    assert (result.slots_observed, result.slots_exact) == (4, True)
    assert [x.users for x in result.sweep.levels] == [1, 2, 3, 4, 6, 8]
    assert result.simulated


@pytest.mark.slow
def test_users_are_found_that_hold_and_above_them_break(tmp_path: Path) -> None:
    result = found_on(tmp_path, "ttft_s.p95 <= 0.8", by="users", budget_s=200.0).result
    assert result.load is not None
    assert result.high is not None
    assert result.load == int(result.load)
    assert p95_at(tmp_path, closed(int(result.load), 300)) < 0.8
    assert p95_at(tmp_path, closed(int(result.high), 300)) > 0.8


@pytest.mark.slow
def test_the_sweep_ends_beyond_the_slots_and_the_budget_is_kept(tmp_path: Path) -> None:
    result = found_on(tmp_path, "ttft_s.p95 <= 0.5", parallel=1, budget_s=120.0).result
    assert [x.users for x in result.sweep.levels] == [1, 2]
    assert result.slots_observed == 1
    assert result.spent_s <= 120
    assert result.probes
    one = result.sweep.levels[0]
    assert one.efficiency == pytest.approx(1)
    assert one.tok_per_s is not None


def test_a_server_that_fails_at_every_load_is_told_at_once(tmp_path: Path) -> None:
    always = [Fault(kind=Kind.STATUS, rate=1.0)]
    found = found_on(tmp_path, "ttft_s.p95 <= 2", faults=always)
    assert found.result.ending is SearchEnding.NEVER_PASSED
    assert found.result.limited_by is Bottleneck.ERRORS
    assert found.exit_code is ExitCode.WORSE
    assert len(found.run.info.blocks) == 3
    assert found.result.probes == ()


def test_a_server_that_fails_now_and_then_breaks_every_promise(tmp_path: Path) -> None:
    sometimes = [Fault(kind=Kind.STATUS, rate=0.25)]
    found = found_on(tmp_path, "ttft_s.p95 <= 2", "error_rate <= 1%", faults=sometimes)
    assert found.result.ending is SearchEnding.NEVER_PASSED
    assert found.result.limited_by is Bottleneck.ERRORS
    assert found.exit_code is ExitCode.WORSE


def test_a_promise_that_fails_at_one_user_is_told_at_once(tmp_path: Path) -> None:
    found = found_on(tmp_path, "e2e_s.p95 <= 1", "tpot_s.p95 <= 0.001")
    assert found.result.ending is SearchEnding.NEVER_PASSED
    assert found.result.breaks == "tpot_s.p95 <= 0.001"
    assert found.result.limited_by is Bottleneck.DECODE
    assert found.exit_code is ExitCode.WORSE


@pytest.mark.slow
def test_a_server_that_never_saturates_inside_the_limits(tmp_path: Path) -> None:
    found = found_on(tmp_path, "ttft_s.p95 <= 5", ceiling=4.0)
    assert found.result.ending is SearchEnding.NEVER_SATURATED
    assert found.result.load == 4.0
    assert found.result.limited_by is Bottleneck.NONE
    assert found.exit_code is ExitCode.OK
    users = found_on(tmp_path, "ttft_s.p95 <= 5", by="users", ceiling=2.0)
    assert users.result.ending is SearchEnding.NEVER_SATURATED
    assert users.result.load == 2


@pytest.mark.slow
def test_a_client_that_is_the_bottleneck_is_told(tmp_path: Path) -> None:
    def each(info: RunInfo) -> RunInfo:
        told = (f"late in block {b.index}" for b in info.blocks)
        return replace(
            info, warnings=tuple(RunWarning("client_bent", t, invalidates=True) for t in told)
        )

    found = found_on(tmp_path, "ttft_s.p95 <= 0.5", bend=each)
    assert found.result.limited_by is Bottleneck.CLIENT
    assert found.result.probes == ()
    assert found.exit_code is ExitCode.INVALID


@pytest.mark.slow
def test_a_probe_that_was_bent_once_is_run_again(tmp_path: Path) -> None:
    def once(info: RunInfo) -> RunInfo:
        late = RunWarning("late_sends", "late", invalidates=True)
        return replace(info, warnings=(late,)) if len(info.blocks) > 7 else info

    result = found_on(tmp_path, "ttft_s.p95 <= 0.5", bend=once, budget_s=150.0).result
    assert result.limited_by is not Bottleneck.CLIENT
    assert result.probes
    # Block 6 was the first probe, block 7 was bent and is missing, block 8 took its place.
    assert 7 not in {p.block for p in result.probes}


@pytest.mark.slow
def test_what_was_asked_is_kept_beside_what_was_seen(tmp_path: Path) -> None:
    result = found_on(tmp_path, "ttft_s.p95 <= 0.5", budget_s=60.0, slots_asked=8).result
    assert (result.slots_asked, result.slots_observed) == (8, 4)


def test_a_search_is_about_one_case() -> None:
    two = plan_of(closed(1, 5), closed(2, 5))
    assert len(capacity_plan(two).cases) == 1
    other = replace(two.cases[1], axes={**two.cases[1].axes, "model": "other"}, model="other")
    with pytest.raises(UsageError, match="2 cases besides its load levels"):
        capacity_plan(replace(two, cases=(two.cases[0], other)))
    assert MODEL in two.cases[0].id


def test_a_probe_that_was_bent_near_the_end_keeps_the_budget(tmp_path: Path) -> None:
    """It was run again as it had been, however little time was left."""

    spoiled = []

    def long_ones(info: RunInfo) -> RunInfo:
        last = info.blocks[-1]
        if last.end_ns - last.start_ns > 0.5 * (70e9 - last.start_ns):
            spoiled.append(RunWarning(WarningCode.LATE_SENDS, "late", invalidates=True))
        return replace(info, warnings=tuple(spoiled))

    result = found_on(tmp_path, "ttft_s.p95 <= 0.5", bend=long_ones, budget_s=70.0).result
    assert spoiled and result.probes
    assert result.spent_s <= 70


def test_a_level_of_the_sweep_that_was_bent_is_run_again(tmp_path: Path) -> None:
    def first(info: RunInfo) -> RunInfo:
        return replace(info, warnings=(RunWarning("client_stalled", "stood", invalidates=True),))

    found = found_on(tmp_path, "ttft_s.p95 <= 0.5", bend=first, budget_s=30.0)
    assert [b.case for b in found.run.info.blocks[:2]] == [found.run.info.blocks[0].case] * 2


@pytest.mark.parametrize("code", ["server_changed", "run_failed"])
def test_a_search_whose_whole_run_is_invalid_is_no_answer(tmp_path: Path, code: str) -> None:
    """The server was updated in the middle: once an answer, exit code 0."""
    found = found_on(tmp_path, "ttft_s.p95 <= 5", ceiling=2.0, budget_s=100.0)
    assert found.exit_code is not ExitCode.INVALID and not found.result.invalid
    warning = RunWarning(WarningCode(code), "version 1, then 2", invalidates=True)
    summary = replace(found.run.summary, warnings=(warning,), valid=False)
    prober = Prober(found.run.info.plan, SearchFor(found.result.promises))
    result = prober.result(found.run.info, summary)
    assert result.invalid == ("version 1, then 2",)
    assert replace(found, result=result).exit_code is ExitCode.INVALID
    assert "version 1, then 2" in render(capacity_page(result, charts=False), "console")


def test_an_unknown_cache_type_is_refused_before_the_search() -> None:
    with pytest.raises(UsageError, match="cache type 'q9' is not known"):
        find_capacity("chat", ["ttft_s.p95 <= 1"], cache_type="q9")


def test_one_user_alone_keeps_the_budget(tmp_path: Path) -> None:
    """Twelve answers of five seconds each took a minute, whatever the budget was."""
    found = found_on(tmp_path, "e2e_s.p95 <= 100", server=SLOW, budget_s=12.0)
    assert found.result.spent_s < 12 + 2 * 5  # the warm-up, and what was under way
    assert found.result.ending is SearchEnding.UNDECIDED


@pytest.mark.parametrize(
    ("promise", "why"),
    [
        ("queue_s.p90 <= 1", "the server does not say .*\\n.*Promise what is seen without"),
        ("tpot_s.p90 <= 1", "the whole answer came at once.*\\n.*Find what holds the stream"),
    ],
)
def test_why_a_promise_cannot_be_judged_is_the_true_reason(
    tmp_path: Path, promise: str, why: str
) -> None:
    """A server that says no durations was blamed on a proxy that holds the stream back."""
    kind = Kind.MISSING_COUNTS if promise.startswith("queue") else Kind.COALESCE
    faults = [Fault(kind=kind, rate=1.0, lines=1000)]
    with pytest.raises(MeasurementInvalid, match=why):
        found_on(tmp_path, promise, faults=faults)
