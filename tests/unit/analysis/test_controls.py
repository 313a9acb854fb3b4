"""Requests sent once more without the format: they take their time, and are in no latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.results.record import Phase, RequestRecord
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


@pytest.mark.parametrize(("form", "timed"), [("gguf", -1), ("safetensors", 0)])
def test_the_price_of_a_format_counts_the_tokens_that_the_engine_times(
    run_of: Callable[..., Any], a_request: Callable[..., RequestRecord], form: str, timed: int
) -> None:
    """10 ms a token with the format and without; MLX times the first token, too."""
    records = []
    for i, (tokens, control) in enumerate([(32, False), (16, True)] * 3):
        steps = tokens + timed
        record = a_request(10.0 * i, tokens=tokens, decode=0.01 * steps, index=i)
        records.append(replace(record, control=control))
    case = run_of(records, format=form, case={"format": "json"}).case_summary()
    assert case.metrics["constraint_cost"].value == pytest.approx(1.0)
