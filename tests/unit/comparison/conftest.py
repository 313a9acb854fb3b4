"""Builds runs as they come out of the analysis, without running anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import pytest

import bench
from bench.analysis.comparison.compare_runs import Subject
from bench.analysis.run.summary import (
    BlockSummary,
    CaseSummary,
    Estimate,
    Identity,
    Metric,
    RequestCounts,
    Steadiness,
    Summary,
)
from bench.analysis.run.summary_json import to_json
from bench.metrics import METRICS
from bench.results.directory import SUMMARY_FILE, RunDirectory
from bench.results.run import BlockInfo, ClockInfo, RunInfo, RunStatus, TargetInfo
from bench.scenario.plan import Block, Case, Load, Plan, PromptSpec, Target

Values = Mapping[str, Sequence[float]]
"""Metric -> its value in each block."""


@dataclass
class CaseMaker:
    """A case of a run to be made."""

    values: Values
    model: str = "llama3.2:3b"
    users: int = 1
    target: str = "here"
    options: dict[str, Any] = field(
        default_factory=lambda: {"num_ctx": 4096, "repeat_penalty": 1.0}
    )
    think: Any = False
    cache: str = "bust"
    identity: dict[str, Any] = field(default_factory=dict)
    steadiness: Steadiness = field(default_factory=lambda: Steadiness(None))
    slots_at_least: int | None = None
    stream: bool = True
    prompt: str = "Say it."
    failed: int = 0
    asked: dict[str, Any] = field(default_factory=dict)

    def case(self, prefix: str = "") -> Case:
        return Case(
            id=f"{prefix}{self.model}, users={self.users}",
            axes={"model": self.model, "target": self.target, "users": str(self.users)},
            target=self.target,
            model=self.model,
            endpoint="chat",
            stream=self.stream,
            options=self.options,
            think=self.think,
            keep_alive="30m",
            prompts=PromptSpec(inline=(self.prompt,), cache=self.cache),  # type: ignore[arg-type]
            load=Load(loop="closed", users=self.users, requests=20),
            warmup=3,
            **self.asked,
        )

    def summary(self, prefix: str, blocks: Sequence[Block]) -> CaseSummary:
        case = self.case(prefix)
        mine = [b for b in blocks if b.case == case.id]
        metrics = {}
        for key, blocks_ in self.values.items():
            name, _, statistic = key.partition(".")
            stats = {statistic or "value": Estimate(fmean(blocks_))}
            kind = METRICS[name]
            metrics[name] = Metric(name, kind.unit, 40, stats, better=kind.better)
        if self.slots_at_least:
            seen = {"value": Estimate(float(self.slots_at_least))}
            metrics["slots_observed"] = Metric("slots_observed", "slots", 40, seen)
        identity = {
            "server_version": "0.32.15",
            "era": "E3",
            "engine": "ollama",
            "model": self.model,
            "digest": f"digest of {self.model}",
            "quantization": "Q4_K_M",
            "served_context": self.options.get("num_ctx"),
            "gpu_share": 1.0,
            "options": self.options,
            "mean_output_tokens": 128.0,
        } | self.identity
        return CaseSummary(
            id=case.id,
            axes=case.axes,
            model=self.model,
            target=self.target,
            endpoint="chat",
            load={"loop": "closed", "users": self.users},
            options=self.options,
            requests=RequestCounts(ok=40, failed=self.failed),
            metrics=metrics,
            identity=Identity(**identity),
            blocks=tuple(
                BlockSummary(
                    index=b.index,
                    repetition=b.repetition,
                    start_s=30.0 * b.index,
                    n_ok=20,
                    values={k: v[n] for k, v in self.values.items() if n < len(v)},
                    pair=b.pair,
                    side=b.side,
                    position=b.position,
                )
                for n, b in enumerate(mine)
            ),
            steadiness=self.steadiness,
        )


def _plan(cases: Sequence[Case], blocks: Sequence[Block], **more: Any) -> Plan:
    return Plan(
        name="test",
        description="",
        tags=(),
        source="",
        scenario={},
        targets=(Target("here", "http://127.0.0.1:11434"),),
        cases=tuple(cases),
        blocks=tuple(blocks),
        seed=more.pop("seed", 1),
        salt=1,
        **more,
    )


def _subject(label: str, plan: Plan, cases: Sequence[CaseSummary], **more: Any) -> Subject:
    settings = more.pop("settings", {})
    valid = more.pop("valid", True)
    done = more.pop("done", len(plan.blocks))
    warnings = more.pop("warnings", ())
    thresholds = more.pop("thresholds", ())
    info = RunInfo(
        id=f"id-of-{label}",
        status=more.get("status", RunStatus.COMPLETE),
        tool_version="1",
        created_at="2026-01-01T10:00:00+00:00",
        clock=ClockInfo(0, "2026-01-01T10:00:00+00:00"),
        plan=plan,
        targets=(
            TargetInfo("here", "http://127.0.0.1:11434", "0.32.15", "E3", settings=settings),
            TargetInfo("there", "http://127.0.0.1:11435", "0.32.15", "E3"),
        ),
        blocks=tuple(BlockInfo(i, b.case, 0, 1, 0, 1) for i, b in enumerate(plan.blocks[:done])),
        environment=more.get(
            "environment", {"cpu": {"model": "Zx 9000"}, "gpus": [{"name": "GTX 1"}]}
        ),
    )
    summary = Summary(
        run_id=info.id,
        name=plan.name,
        status=info.status.value,
        simulated=False,
        valid=valid,
        scenario={},
        cases=tuple(cases),
        warnings=warnings,
        thresholds=thresholds,
    )
    return Subject(label, info, summary)


@pytest.fixture(scope="session")
def case_of() -> type[CaseMaker]:
    return CaseMaker


@pytest.fixture(scope="session")
def run_of() -> Callable[..., Subject]:
    """A run of separate cases: run_of(label, case, ..., seed=, settings=, status=, ...)."""

    def make(label: str, *makers: CaseMaker, **more: Any) -> Subject:
        blocks = []
        for maker in makers:
            for n in range(max(len(v) for v in maker.values.values())):
                blocks.append(Block(len(blocks), maker.case().id, n, seed=n))
        known = {k: more.pop(k) for k in ("seed", "scenario_b") if k in more}
        plan = _plan([m.case() for m in makers], blocks, **known)
        return _subject(label, plan, [m.summary("", blocks) for m in makers], **more)

    return make


@pytest.fixture
def ab_of() -> Callable[..., Subject]:
    """A run in pairs: ab_of(case_a, case_b, order=...), order defaults to ABBA."""

    def make(a: CaseMaker, b: CaseMaker, order: str = "", **more: Any) -> Subject:
        pairs = max(len(v) for v in a.values.values())
        order = order or "".join("ab" if n % 2 == 0 else "ba" for n in range(pairs))
        ids = {"a": a.case("a: ").id, "b": b.case("b: ").id}
        seen = {"a": 0, "b": 0}
        begun: set[int] = set()
        blocks = []
        for index, side in enumerate(order):
            pair = seen[side]
            blocks.append(
                Block(index, ids[side], pair, pair, pair, side, int(pair in begun))  # type: ignore[arg-type]
            )
            begun.add(pair)
            seen[side] += 1
        plan = _plan([a.case("a: "), b.case("b: ")], blocks, scenario_b={})
        cases = [a.summary("a: ", blocks), b.summary("b: ", blocks)]
        return _subject("ab", plan, cases, **more)

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run as a directory: run.json, summary.json, and no requests."""

    def store(subject: Subject) -> Path:
        directory = RunDirectory(tmp_path / subject.label, subject.info.id)
        directory.path.mkdir()
        directory.write_info(subject.info)
        directory.journal().close()
        summary = replace(subject.summary, tool_version=bench.__version__)
        directory.write_file(SUMMARY_FILE, msgspec.json.encode(to_json(summary)))
        return directory.path

    return store
