"""The harm that parts of a mix do each other: covered by its interval as often as it says."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from neighbour_runs import covered, harm

from bench.analysis.run.neighbours import neighbour_costs
from bench.analysis.run.summary import (
    BlockSummary,
    CaseSummary,
    Identity,
    RequestCounts,
    Steadiness,
)
from bench.errors import ScenarioError
from bench.load.holding import Together
from bench.scenario.cases import shared_out
from bench.scenario.document import Document
from bench.scenario.expand import build_plan
from bench.scenario.loading import resolve
from bench.scenario.plan import Load, Plan

HARM = 2.5


def _case(mix: str, values: list[float]) -> CaseSummary:
    blocks = tuple(
        BlockSummary(2 * n, n, 0.0, 20, {"ttft_s.mean": value, "decode_tok_per_s": 40.0})
        for n, value in enumerate(values)
    )
    return CaseSummary(
        id=f"m, part=light, mix={mix}",
        axes={"model": "m", "target": "t", "part": "light", "mix": mix},
        model="m",
        target="t",
        endpoint="chat",
        load={},
        options={},
        requests=RequestCounts(20, 0),
        metrics={},
        identity=Identity(),
        blocks=blocks,
        steadiness=Steadiness(None, ""),
        window_s=1.0,
    )


def test_the_interval_covers_the_planted_harm_in_19_of_20_runs() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mood = rng.normal(0, 0.2, 8)  # of the machine, shared by a pair of blocks
        alone, beside = [], []
        for pair in mood:
            of_block = rng.normal(0, 0.1, 2)
            waits = rng.lognormal(0, 0.5, (2, 20)) / math.exp(0.125)
            waits[:, 1:] = 0.6 * waits[:, 1:] + 0.4 * waits[:, :-1]  # neighbours are alike
            alone.append(float(0.1 * math.exp(pair + of_block[0]) * waits[0].mean()))
            beside.append(float(0.1 * HARM * math.exp(pair + of_block[1]) * waits[1].mean()))
        wait = neighbour_costs([_case("alone", alone), _case("together", beside)])[0]
        assert wait.metric == "ttft_s.mean"
        assert wait.low is not None
        assert wait.high is not None
        covered += wait.low <= HARM <= wait.high
    assert 186 <= covered <= 194, covered  # 93 to 97 %


@pytest.mark.slow
def test_whole_runs_see_what_the_server_says_of_itself() -> None:
    """Reduced from tests/performance/neighbour_coverage.py, which counts 200 runs."""
    runs = [harm(seed) for seed in range(5)]
    for run in runs:
        own = fmean(run.together_s) / fmean(run.alone_s)
        assert run.seen.ratio == pytest.approx(own, rel=0.1)  # its mean is over blocks
    truth, hits = covered(runs)
    assert truth > 5
    assert hits >= 4


def test_one_pair_of_blocks_has_no_interval() -> None:
    cost = neighbour_costs([_case("alone", [0.1]), _case("together", [0.3])])[0]
    assert cost.ratio == pytest.approx(3)
    assert cost.low is None


def _plan(data: dict[str, Any]) -> Plan:
    scenario = resolve(Document("f.yaml", data), (), source="f.yaml", directory=Path())
    return build_plan(scenario, models=["m"], salt=3)


MIX = {
    "mix": [
        {"name": "light", "share": 3},
        {"name": "heavy", "model": "big", "options": {"num_predict": 500}},
    ],
    "load": {"closed": {"users": 4, "requests": 40}},
    "blocks": 2,
}


def test_each_part_is_measured_alone_and_together() -> None:
    plan = _plan(MIX)
    assert [(c.axes["part"], c.axes["mix"], c.model, c.load.users) for c in plan.cases] == [
        ("light", "alone", "m", 3),
        ("light", "together", "m", 3),
        ("heavy", "alone", "big", 1),
        ("heavy", "together", "big", 1),
    ]
    assert [c.load.requests for c in plan.cases] == [30, 30, 10, 10]
    assert [c.options["num_predict"] for c in plan.cases][1:3] == [128, 500]
    beside = [b for b in plan.blocks if b.beside is not None]
    assert len(plan.blocks) == 8
    assert len(beside) == 4
    for first, second in zip(beside[::2], beside[1::2], strict=True):
        assert first.beside == second.beside == first.index == second.index - 1
        assert plan.case(first.case).axes["mix"] == "together"


def test_too_few_users_for_a_mix_are_refused() -> None:
    with pytest.raises(ScenarioError, match="1 users are fewer than the 2 parts of mix"):
        _plan(MIX | {"load": {"closed": {"users": 1}}})


def test_shares_are_whole_and_none_is_empty() -> None:
    load = Load("closed", users=5, requests=50)
    parts = shared_out(load, [8, 1, 1])
    assert [p.users for p in parts] == [3, 1, 1]
    assert sum(p.requests or 0 for p in parts) == 50
    rates = shared_out(Load("open", rate_per_s=4.0), [3, 1])
    assert [r.rate_per_s for r in rates] == [3.0, 1.0]
    assert replace(load, users=3) == replace(parts[0], requests=50)


async def test_blocks_meet_and_none_waits_for_one_that_has_ended() -> None:
    together, order = Together(3), []

    async def block(number: int, delay: float) -> None:
        await asyncio.sleep(delay)
        await together.meet("measure", number)
        order.append(number)

    first, second = (asyncio.create_task(block(n, 0.01 * n)) for n in (0, 1))
    await asyncio.sleep(0.05)
    assert not order
    together.leave(2)
    await asyncio.gather(first, second)
    assert sorted(order) == [0, 1]
