"""Two models in memory for one: loads and the waiting for them, against the server's truth log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_runs import plan_of
from swapping import loads_awaited, waiting_s
from virtual_runs import MODEL, run_virtually
from virtual_server import model

from bench.analysis.run.summarise import summarise
from bench.results.record import Phase
from bench.server.app import App

FIRST = model(cold_load_s=2.0, warm_load_s=0.8)
OTHER = model("b:latest", parameters=2e9, cold_load_s=3.0, warm_load_s=1.2)
MIX = [{"name": "one"}, {"name": "two", "model": OTHER.name}]
OPTIONS = {"num_predict": 8, "temperature": 0, "num_ctx": 2048}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("users", "pause", "vram_gb", "turns"),
    [
        (2, 0, 1.5, "one each"),
        (4, 0, 1.5, "in pairs"),
        # While one waits for its load, the next one waits already.
        (4, {"lognormal": {"median": 3, "p95": 8}}, 1.5, "in a queue"),
        (2, 0, 4.0, "none"),
        (4, 0, 4.0, "none"),
    ],
)
def test_swaps_and_the_time_lost_to_them(
    tmp_path: Path, users: int, pause: Any, vram_gb: float, turns: str
) -> None:
    apps: list[App] = []

    async def keep(app: App) -> None:
        apps.append(app)

    load = {"closed": {"users": users, "requests": 24, "think_time": pause}}
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
    for part, name in (("one", MODEL), ("two", OTHER.name)):
        blocks = [b.index for b in plan.blocks if b.case == cases[part].id]
        sent = {
            r.sent_ns: r.block
            for r in run.records
            if r.block in blocks and r.phase is Phase.MEASURE and r.sent_ns is not None
        }
        told = [t for t in apps[0].state.truth.records if t.model == name]
        asked = [t for t in told if t.received_ns - origin in sent]
        awaited = loads_awaited(asked, told)
        found = {k: cases[part].metrics[k].stats["value"].value for k in ("swaps", "swap_s")}
        assert found["swaps"] == len(awaited)
        by_block = [[t for t in asked if sent[t.received_ns - origin] == b] for b in blocks]
        lost = sum(map(waiting_s, by_block))
        assert found["swap_s"] == pytest.approx(lost, rel=0.02)
        assert bool(awaited) is (vram_gb < 2)
        if turns == "in a queue":
            assert len(awaited) > len(sent) / 2


def _together(axes: dict[str, str]) -> bool:
    return axes["mix"] == "together"
