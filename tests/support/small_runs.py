"""A record and a run of one block, to be changed by tests."""

from __future__ import annotations

from dataclasses import replace

from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, ClockInfo, Residency, RunInfo, RunStatus
from bench.scenario.plan import Arrivals, Block, Case, Load, Plan, PromptSpec, Target
from bench.thresholds import parse_threshold
from bench.wire.exchange import Outcome

CASE = "m, rate=2"


def record(index: int = 0, **changes: object) -> RequestRecord:
    base = RequestRecord(
        case=CASE,
        block=0,
        index=index,
        phase=Phase.MEASURE,
        outcome=Outcome.OK,
        model="模型:7b",
        stream=True,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def run_info(run_id: str = "r", status: RunStatus = RunStatus.COMPLETE) -> RunInfo:
    case = Case(
        id=CASE,
        axes={"model": "m"},
        target="default",
        model="m",
        endpoint="chat",
        stream=True,
        options={"num_ctx": 4096, "stop": ["x"]},
        think="low",
        keep_alive=-1,
        prompts=PromptSpec(inline=("hello",)),
        load=Load("open", rate_per_s=2.0, arrivals=Arrivals("gamma", 3.0), duration_s=10.0),
        warmup=3,
        format={"type": "object"},
    )
    plan = Plan(
        name="n",
        description="",
        tags=("t",),
        source="s",
        scenario={"a": [1, None]},
        targets=(Target("default", "http://127.0.0.1:11434"),),
        cases=(case,),
        blocks=(Block(0, case.id, 0, 7),),
        seed=1,
        salt=2,
        thresholds=(parse_threshold("ttft_s.p95 <= 800ms"),),
    )
    block = BlockInfo(0, case.id, 0, 10, 2, 9, before=Residency(True, size_bytes=4, vram_bytes=2))
    return RunInfo(
        id=run_id,
        status=status,
        tool_version="1",
        created_at="2026-01-01T10:15:00Z",
        clock=ClockInfo(5, "2026-01-01T10:15:00Z"),
        plan=plan,
        blocks=(block,),
    )
