"""Requests sent once more without the format: they take their time, and are in no latency."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.results.record import Phase
from bench.results.warning_codes import WarningCode
from bench.server.app import App

SERVER = model(step_ms=10.0)
OPTIONS = {"num_predict": 40, "temperature": 0, "num_ctx": 2048}


@pytest.mark.parametrize("users", [1, 2])
def test_throughput_holds_all_that_was_written(tmp_path: Path, users: int) -> None:
    apps: list[App] = []

    async def keep(app: App) -> None:
        apps.append(app)

    plan = plan_of(
        {"inline": ["Hello there"]},
        {"closed": {"users": users, "requests": 48}},
        format="json",
        control=True,
        options=OPTIONS,
        blocks=2,
    )
    run = run_virtually(plan, SERVER, tmp_path, beside=keep, num_parallel=users)
    summary = summarise(run.info, run.records)
    (case,) = summary.cases
    controls = [r for r in run.records if r.control and r.phase is Phase.MEASURE]
    assert len(controls) > 20
    assert case.requests.ok == 96 - len(controls)
    blocks = {b.index: (b.window_start_ns, b.window_end_ns) for b in run.info.blocks}
    origin = run.info.clock.monotonic_origin_ns
    told = apps[0].state.truth.records
    written = sum(
        begin <= at - origin <= end
        for begin, end in blocks.values()
        for t in told
        for at in t.line_sent_ns
    )
    seconds = sum(end - begin for begin, end in blocks.values()) / 1e9
    throughput = case.metrics["output_tok_per_s"].stats["value"].value
    assert throughput == pytest.approx(written / seconds, rel=0.05)
    codes = {w.code for w in summary.warnings}
    assert not codes & {WarningCode.LITTLES_LAW, WarningCode.OTHER_LOAD}
