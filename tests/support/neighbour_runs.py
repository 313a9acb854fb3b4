"""A light user beside a heavy one on the simulated server, in virtual time, with its truth log.

Whole runs: the load's own runner, the server's HTTP and engine. What is planted is what the server
wrote down of itself: how long each request of the light user waited for its first line.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.run.neighbours import Cost, neighbour_costs
from bench.analysis.run.summarise import summarise
from bench.results.record import Phase
from bench.server.app import App
from bench.simulation.profile import Length

SERVED = model(
    prefill_tok_per_s=4000.0,
    jitter=0.05,
    output_tokens=Length(median=6, p95=14),
)
MIX = [
    {"name": "light"},
    {"name": "heavy", "prompts": {"synthetic": {"input_tokens": 600}}},
]
LOAD = {"closed": {"users": 2, "requests": 20}}
OPTIONS = {"num_ctx": 4096, "temperature": 0, "num_predict": -1}


@dataclass(frozen=True)
class Harm:
    """What the heavy user cost the light one.

    Attributes:
        seen: by the report: times as long until the first text, with its interval.
        alone_s, together_s: the light user's waits by the server's truth log, one a request.
    """

    seen: Cost
    alone_s: list[float]
    together_s: list[float]


def harm(seed: int, blocks: int = 6) -> Harm:
    """One seeded run."""
    apps: list[App] = []

    async def keep(app: App) -> None:
        apps.append(app)

    more = {"mix": MIX, "options": OPTIONS, "blocks": blocks, "seed": seed}
    plan = plan_of({"synthetic": {"input_tokens": 60}}, LOAD, **more)
    with tempfile.TemporaryDirectory() as folder:
        run = run_virtually(
            plan, SERVED, Path(folder), beside=keep, num_parallel=1, cache_ram_mib=0
        )
    costs = neighbour_costs(summarise(run.info, run.records).cases)
    (seen,) = [c for c in costs if c.part == "light" and c.metric == "ttft_s.mean"]
    origin = run.info.clock.monotonic_origin_ns
    # Parts of a mix may begin at the same nanosecond: their prompts tell them apart.
    waits = {
        (t.received_ns - origin, t.prompt_tokens): (t.line_sent_ns[0] - t.received_ns) / 1e9
        for t in apps[0].state.truth.records
        if t.line_sent_ns
    }
    axes = {c.id: c.axes for c in plan.cases}
    waited: dict[str, list[float]] = {"alone": [], "together": []}
    for record in run.records:
        of = axes[record.case]
        if record.phase is Phase.MEASURE and of["part"] == "light":
            waited[of["mix"]].append(waits[record.sent_ns, record.server.prompt_eval_count])
    return Harm(seen, waited["alone"], waited["together"])


def covered(runs: Sequence[Harm]) -> tuple[float, int]:
    """The planted harm, and how many of the runs have it in their interval."""
    alone = [s for r in runs for s in r.alone_s]
    together = [s for r in runs for s in r.together_s]
    truth = fmean(together) / fmean(alone)
    return truth, sum((r.seen.low or 0) <= truth <= (r.seen.high or 0) for r in runs)
