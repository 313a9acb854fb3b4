"""Runs of sessions against the simulated server in virtual time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from virtual_runs import MODEL, run_virtually
from virtual_server import model

from bench.results.directory import Run
from bench.results.record import RequestRecord
from bench.scenario.document import Document
from bench.scenario.expand import build_plan
from bench.scenario.loading import resolve
from bench.scenario.plan import Plan

FAST = model(prefill_tok_per_s=20_000.0, step_ms=1.0, context_length=65_536)
AGENT = {
    "scale": 0.05,
    "context": 4096,
    "turns": 2,
    "tool_steps": 3,
    "pause": 5,
    "tool_pause": 1,
    "subagents": {"chance": 1, "parallel": 2, "steps": 2},
}


def plan_of(prompts: dict[str, Any], load: dict[str, Any], **more: Any) -> Plan:
    data = {"prompts": prompts, "load": load, "blocks": 1, "warmup": 1} | more
    scenario = resolve(Document("f.yaml", data), (), source="f.yaml", directory=Path())
    plan = build_plan(scenario, models=[MODEL], salt=3, hosts=["http://127.0.0.1:1"])
    target = replace(plan.targets[0], name="here")
    cases = tuple(replace(case, target="here") for case in plan.cases)
    return replace(plan, targets=(target,), cases=cases)


def play(folder: Path, prompts: dict[str, Any], load: dict[str, Any], **more: Any) -> Run:
    return run_virtually(plan_of(prompts, load, **more), FAST, folder, num_parallel=4)


def threads_of(run: Run) -> dict[tuple[str, str], list[RequestRecord]]:
    threads = defaultdict(list)
    for record in sorted(run.records, key=lambda r: r.sent_ns or 0):
        if record.session is not None:
            threads[record.session, record.thread or ""].append(record)
    return threads
