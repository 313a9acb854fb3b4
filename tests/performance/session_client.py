"""Client time and memory of 1,000 made-up agent sessions of 50 requests, with 64k of context.

python tests/performance/session_client.py [SESSIONS]
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from bench.load.session_requests import SessionMaker
from bench.scenario.document import Document
from bench.scenario.expand import build_plan
from bench.scenario.loading import resolve
from bench.scenario.prompts import prompt_source
from bench.wire.exchange import Outcome, Reply

STEPS = {"turns": 1, "tool_steps": 49, "titles": False, "subagents": {"chance": 0}}
LENGTHS = {"first_tokens": 4000, "tool_tokens": 1004, "output_tokens": 220}


def main(sessions: int) -> None:
    """Make every request as the load does, and put the recorded answer into the history.

    Times are CPU time, so that other work on the machine does not count.
    """
    data = {"prompts": {"agent": STEPS | LENGTHS}, "options": {"num_ctx": 131_072}}
    begun = time.perf_counter()
    scenario = resolve(Document("f", data), (), source="f", directory=Path())
    plan = build_plan(scenario, models=["m"], salt=1)
    case, block = plan.cases[0], plan.blocks[0]
    source = prompt_source(case, plan)
    maker = SessionMaker(case, block, plan, source.rates, source)
    maker.session(0).prepare(0)
    print(f"start {time.perf_counter() - begun:.2f} s")
    took, memory, largest = [], [], 0
    for number in range(sessions):
        live = maker.session(number)
        for index in range(len(live.steps)):
            at = time.thread_time()
            prepared = live.prepare(index)
            assert prepared.hear is not None
            prepared.hear(Reply(outcome=Outcome.OK))
            took.append(time.thread_time() - at)
            largest = max(largest, len(prepared.call.body))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    took.sort()
    print(f"{len(took):,} requests, bodies up to {largest / 1024:.0f} KiB")
    print(
        f"mean {1e3 * sum(took) / len(took):.3f} ms, p99 {1e3 * took[len(took) * 99 // 100]:.3f} ms"
    )
    tenth = memory[len(memory) // 10]
    print(f"most memory after a tenth {tenth:.0f} MiB, at the end {memory[-1]:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
