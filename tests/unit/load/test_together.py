"""Blocks that run at the same time."""

from __future__ import annotations

from dataclasses import replace

from bench.errors import ServerUnreachable
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
