"""Two models that do not fit into memory together, on a real server process and real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from swapping import loads_awaited, waiting_s

import bench
from bench.load.session import Settings
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.results.warning_codes import WarningCode
from bench.scenario.loading import scenario_path
from bench.server.embedded import EmbeddedServer, start_server

PROFILE = """
name: tight
description: Memory for one of two models
invented: true
num_ctx: 4096
device: {{description: no real device, vram_gb: 1.6, spill_slowdown: 10}}
models:
  - &one
    name: one:latest
    family: llama
    parameters: 1.24e9
    quantization: Q4_K_M
    size_gb: 0.8
    layers: 16
    embedding_length: 2048
    context_length: 8192
    cold_load_s: 0.9
    warm_load_s: 0.6
    prefill_tok_per_s: 20000
    step_ms: {step_ms}
    output_tokens: {{median: 400, p95: 400}}
  - <<: *one
    name: two:latest
    size_gb: 1.3
"""
MODELS = ("one:latest", "two:latest")
NAMED = [f"mix[{place}].model={name}" for place, name in enumerate(MODELS)]


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    profile = tmp_path / "tight.yaml"
    profile.write_text(PROFILE.format(step_ms=request.param))
    with start_server(profile=profile, num_parallel=1) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("server", [2], indirect=True)
@pytest.mark.parametrize("users", [2, 4])
def test_the_shipped_swap_counts_what_the_server_did(
    server: EmbeddedServer, tmp_path: Path, users: int
) -> None:
    """Loads exactly, and the time lost to them within 2 %, by the server's truth log."""
    pause = [f"load.closed.users={users}", "load.closed.think_time=0.5"]
    finished = bench.run(
        "swap",
        hosts=[server.url],
        overrides=[*NAMED, "blocks=1", *pause],
        settings=Settings(output=tmp_path),
        report=False,
    )
    run = read_run(finished.path)
    origin = run.info.clock.monotonic_origin_ns
    together = [c for c in finished.summary.cases if c.axes["mix"] == "together"]
    assert {c.model for c in together} == set(MODELS)
    for case in together:
        told = sorted(
            (t for t in server.truth if t.model == case.model), key=lambda t: t.received_ns
        )
        sent = sorted(
            (r.sent_ns or 0) + origin
            for r in run.records
            if r.case == case.id and r.phase is Phase.MEASURE
        )
        asked = [next(t for t in told if t.received_ns >= at) for at in sent]
        assert len({t.id for t in asked}) == 12 / 2
        awaited = loads_awaited(asked, told)
        assert len(awaited) >= 3
        assert case.metrics["swaps"].stats["value"].value == len(awaited)
        lost = case.metrics["swap_s"].stats["value"].value
        assert lost == pytest.approx(waiting_s(asked), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("server", [20], indirect=True)
def test_a_model_that_gets_no_turn_is_named_and_holds_up_nothing_after_it(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """Its queue at the server is cleared, too: the blocks after it are measured."""
    scenario = yaml.safe_load(scenario_path("swap").read_text())
    scenario["load"]["closed"]["users"] = 6
    scenario["timeouts"] = {"first_byte": 5}
    scenario["options"]["num_predict"] = 10
    scenario["blocks"] = 2
    scenario["warmup"] = 0
    finished = bench.run(
        scenario,
        hosts=[server.url],
        overrides=NAMED,
        settings=Settings(output=tmp_path),
        report=False,
    )
    codes = {(w.code, w.case) for w in finished.summary.warnings}
    starved = {case for code, case in codes if code is WarningCode.STARVED}
    assert len(starved) == 1
    assert "mix=together" in next(iter(starved))
    alone = [c for c in finished.summary.cases if c.axes["mix"] == "alone"]
    assert [c.requests.failed for c in alone] == [0, 0]
    assert all(len(c.blocks) == 2 for c in alone)
