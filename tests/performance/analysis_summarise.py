"""How long the summary of a large run takes: `python tests/performance/analysis_summarise.py`.

Promise: 100,000 requests are summarised in less than 3 s of CPU time on one core (reading the
journal aside). Exits with 1 if it is broken.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from bench.analysis.run.summarise import summarise
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, ClockInfo, ModelInfo, RunInfo, RunStatus, TargetInfo
from bench.scenario.plan import Block, Case, Load, Plan, PromptSpec, Target
from bench.thresholds import parse_threshold
from bench.wire.exchange import Outcome, ServerTimings

LIMIT_S = 3.0
USERS = 8


def case(users: int) -> Case:
    return Case(
        id=f"model, users={users}",
        axes={"model": "model", "target": "here", "users": str(users)},
        target="here",
        model="model",
        endpoint="chat",
        stream=True,
        options={"num_ctx": 4096},
        think=False,
        keep_alive="10m",
        prompts=PromptSpec(inline=("Why?",)),
        load=Load("closed", users=users),
        warmup=3,
    )


def records(case_id: str, block: int, count: int, chunks: int) -> list[RequestRecord]:
    """One user after the other, with lognormal prefill and gaps."""
    rng = np.random.default_rng(block)
    prefill = (rng.lognormal(-1.5, 0.3, count) * 1e9).astype(int).tolist()
    gaps = (rng.lognormal(-4, 0.1, (count, chunks)) * 1e9).astype(int)
    decode = gaps.sum(axis=1).tolist()
    made, free = [], [block * 10**13] * USERS
    for i in range(count):
        sent = free[i % USERS]
        first, last = sent + prefill[i], sent + prefill[i] + decode[i]
        free[i % USERS] = last
        made.append(
            RequestRecord(
                case=case_id,
                block=block,
                index=i,
                phase=Phase.MEASURE,
                outcome=Outcome.OK,
                model="model",
                stream=True,
                sent_ns=sent,
                first_answer_ns=first,
                last_text_ns=last,
                end_ns=last,
                chunk_gaps_ns=[prefill[i], *gaps[i].tolist(), 0],
                chunks=chunks + 2,
                text_chunks=chunks + 1,
                done_reason="length",
                prompt_sha256=f"{block:08x}{i:08x}",
                server=ServerTimings(
                    last - sent, 500_000, 300, None, prefill[i], chunks + 1, decode[i]
                ),
            )
        )
    return made


def run(requests: int, cases: int, blocks: int, chunks: int) -> tuple[RunInfo, list[RequestRecord]]:
    planned = [case(users) for users in range(1, cases + 1)]
    plan_blocks, infos, made = [], [], []
    for repetition in range(blocks):
        for one in planned:
            index = len(plan_blocks)
            plan_blocks.append(Block(index, one.id, repetition, seed=index))
            mine = records(one.id, index, requests // (cases * blocks), chunks)
            start, end = mine[0].sent_ns or 0, max(r.end_ns or 0 for r in mine)
            infos.append(BlockInfo(index, one.id, start, end, start, end))
            made += mine
    target = Target("here", "http://127.0.0.1:11434")
    plan = Plan(
        "large", "", (), "", {}, (target,), tuple(planned), tuple(plan_blocks), 1, 2,
        (parse_threshold("ttft_s.p95 <= 2"), parse_threshold("decode_tok_per_s >= 40")),
    )  # fmt: skip
    info = RunInfo(
        "run", RunStatus.COMPLETE, "0.1", "", ClockInfo(0, ""), plan,
        (TargetInfo("here", target.url, "0.32.15", "E3"),),
        (ModelInfo("here", "model", "d", "gguf"),), tuple(infos),
    )  # fmt: skip
    return info, made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--chunks", type=int, default=32)
    asked = parser.parse_args()
    info, made = run(asked.requests, asked.cases, asked.blocks, asked.chunks)
    spent = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        summary = summarise(info, made)
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(spent)
    n = sum(c.requests.ok for c in summary.cases)
    gaps = sum(c.metrics["itl_s"].n for c in summary.cases)
    print(f"{n} requests, {gaps} gaps, {asked.cases} cases: {cpu:.2f} s CPU, {wall:.2f} s wall")
    return int(cpu > LIMIT_S * asked.requests / 100_000)


if __name__ == "__main__":
    sys.exit(main())
