"""Two models in memory for one: loads and the waiting for them, against the server's truth log."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_runs import plan_of
from virtual_runs import MODEL, run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.results.record import Phase
from bench.server.app import App
from bench.server.truth import swaps_of

FIRST = model(cold_load_s=2.0, warm_load_s=0.8)
OTHER = model("b:latest", parameters=2e9, cold_load_s=3.0, warm_load_s=1.2)
MIX = [{"name": "one"}, {"name": "two", "model": OTHER.name}]
OPTIONS = {"num_predict": 8, "temperature": 0, "num_ctx": 2048}


@pytest.mark.slow
@pytest.mark.parametrize("users", [2, 4])
@pytest.mark.parametrize("vram_gb", [1.5, 4.0])
def test_swaps_and_the_time_lost_to_them(tmp_path: Path, users: int, vram_gb: float) -> None:
    apps: list[App] = []

    async def keep(app: App) -> None:
        apps.append(app)

    load = {"closed": {"users": users, "requests": 12}}
    plan = plan_of({"inline": ["Hello there"]}, load, mix=MIX, options=OPTIONS, blocks=2)
    run = run_virtually(
        plan,
        FIRST,
        tmp_path,
        others=(OTHER,),
        beside=keep,
        vram_gb=vram_gb,
        num_parallel=2,
        cache_ram_mib=0,
    )
    cases = {c.axes["part"]: c for c in summarise(run.info, run.records).cases if _together(c.axes)}
    origin = run.info.clock.monotonic_origin_ns
    measured = {(r.model, r.sent_ns) for r in run.records if r.phase is Phase.MEASURE}
    for part, name in (("one", MODEL), ("two", OTHER.name)):
        blocks = [b.index for b in plan.blocks if b.case == cases[part].id]
        sent = [r.sent_ns for r in run.records if r.block in blocks and r.sent_ns is not None]
        loads = [
            t
            for t in apps[0].state.truth.records
            if t.model == name
            and (name, t.received_ns - origin) in measured
            and min(sent) <= t.received_ns - origin <= max(sent)
            and swaps_of([t]).count
        ]
        waited = sum((t.loaded_ns or 0) - t.received_ns for t in loads) / 1e9
        found = {k: cases[part].metrics[k].stats["value"].value for k in ("swaps", "swap_s")}
        assert found["swaps"] == len(loads)
        assert found["swap_s"] == pytest.approx(waited, rel=0.02)
        assert bool(loads) is (vram_gb < 2)


def _together(axes: dict[str, str]) -> bool:
    return axes["mix"] == "together"
