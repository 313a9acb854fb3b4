"""Blocks that run at the same time, and processes that send one together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from bench.clock import NS
from bench.errors import ServerUnreachable
from bench.load.measure import MeasuredPhase
from bench.load.workers import together
from bench.results.run import RunStatus


def test_a_block_that_cannot_be_run_takes_nothing_from_those_beside_it(play, kit):
    """One model cannot be loaded, for the connection breaks: what the other answered is kept."""

    class Control(kit.Control):
        async def preload(self, model, *rest, **more):
            if model == "broken:1b":
                raise ServerUnreachable("the connection broke", "Start it again.")
            return await super().preload(model, *rest, **more)

    good = kit.case(kit.closed(1, requests=6))
    bad = replace(good, id="broken:1b", model="broken:1b")
    plan = kit.plan(*(replace(case, together="mix") for case in (good, bad)))
    plan = replace(plan, blocks=tuple(replace(block, beside=0) for block in plan.blocks))
    done = play(plan, control=Control())
    assert done.info.status is RunStatus.FAILED
    assert done.error.message == "the connection broke"
    (block,) = done.info.blocks
    assert block.case == good.id and block.complete
    assert len(done.records()) == 6


def test_nothing_is_sent_or_loaded_while_the_machine_is_looked_at_at_rest(play, kit, monkeypatch):
    """What a mix draws idle must not hold the warm-up, or the load, of another of its parts."""
    rests, loads = [], []

    async def at_rest(telemetry, name, target, loaded, now_ns):
        begun_ns = now_ns()
        await asyncio.sleep(13)
        rests.append((begun_ns, now_ns()))
        return {"idle": {}}

    class Control(kit.Control):
        async def preload(self, model, *rest, **more):
            took_s = 5.0 if model == "slow:1b" else 1.0
            loads.append(took_s)
            await asyncio.sleep(took_s)
            return round(took_s * NS)

    monkeypatch.setattr("bench.load.runner.machine_at_rest", at_rest)
    quick = kit.case(kit.closed(1, requests=6))
    slow = replace(quick, id="slow:1b", model="slow:1b")
    plan = kit.plan(*(replace(case, together="mix") for case in (quick, slow)))
    plan = replace(plan, blocks=tuple(replace(block, beside=0) for block in plan.blocks))
    telemetry = SimpleNamespace(
        between=lambda *block: {}, unread=lambda: {}, status=lambda: {"sources": []}
    )
    done = play(plan, control=Control(), telemetry=telemetry)
    assert done.info.status is RunStatus.COMPLETE
    ((begun_ns, ended_ns),) = rests
    origin_ns = done.info.clock.monotonic_origin_ns
    assert begun_ns - origin_ns >= 5 * NS
    assert min(r.sent_ns for r in done.run.records) >= ended_ns - origin_ns
    assert done.info.environment["idle"] == {}


def test_a_process_that_measured_nothing_widens_no_window():
    """More processes than users: one without any stands at the moment measuring could begin."""
    idle, busy = MeasuredPhase(1 * NS, 1 * NS), MeasuredPhase(2 * NS, 9 * NS)
    whole = together([idle, busy])
    assert (whole.window_start_ns, whole.window_end_ns) == (2 * NS, 9 * NS)
    none = together([idle, idle])
    assert (none.window_start_ns, none.window_end_ns) == (1 * NS, 1 * NS)
