"""Seeded runs for the tests of reports: a closed loop before a server with slots, in virtual time.

Numbers are plausible, not measured. The records go through the real analysis.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import Summary
from bench.metrics import METRICS
from bench.results.directory import Run, RunDirectory
from bench.results.record import Phase, RequestRecord
from bench.results.run import (
    BlockInfo,
    ClientHealth,
    ClockInfo,
    ModelInfo,
    Residency,
    RunInfo,
    RunStatus,
    RunWarning,
    TargetInfo,
    TransportInfo,
)
from bench.scenario.plan import (
    Block,
    Case,
    Distribution,
    Load,
    Plan,
    PromptSpec,
    SyntheticPrompts,
    Target,
)
from bench.thresholds import parse_threshold
from bench.wire.exchange import Outcome, ServerTimings

NS = 1_000_000_000


@dataclass(frozen=True)
class FakeModel:
    """A model as the fake server runs it."""

    name: str
    step_s: float = 0.02
    prefill_tok_per_s: float = 1500.0
    quantization: str = "Q4_K_M"
    parameter_size: str = "3.2B"
    thinking_share: float = 0.0
    gpu_share: float = 1.0


@dataclass(frozen=True)
class Workload:
    """What a run consists of."""

    name: str = "chat"
    models: tuple[FakeModel, ...] = (FakeModel("llama3.2:3b-instruct-q4_K_M"),)
    users: tuple[int, ...] = (1,)
    prompt_tokens: tuple[int, ...] = (200,)
    output_tokens: int = 128
    requests: int = 40
    blocks: int = 3
    warmup: int = 3
    slots: int = 4
    slots_asked: int | None = 4
    stream: bool = True
    simulated: bool = False
    failures: float = 0.0
    error_text: str = "model runner has unexpectedly stopped"
    rate_per_s: float | None = None
    description: str = "A chat of one turn with a fixed answer length."
    thresholds: tuple[str, ...] = ()
    version: str = "0.32.15"
    seed: int = 7
    status: RunStatus = RunStatus.COMPLETE
    block_drift: float = 0.0
    utilisation: bool = False
    warnings: tuple[RunWarning, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)


_BUILT: dict[tuple[Any, ...], tuple[Run, Summary]] = {}


def build(workload: Workload | None = None, path: Path = Path("run")) -> tuple[Run, Summary]:
    """A run and its summary; equal ones are made once, since nothing of them can be changed."""
    w = workload or Workload()
    key = (repr(w), path, *METRICS)  # a test may add a metric
    if key not in _BUILT:
        run = build_run(w, path)
        _BUILT[key] = run, summarise(run.info, run.records)
    return _BUILT[key]


def write_run(parent: Path, workload: Workload | None = None) -> Path:
    """The same as a run directory."""
    run = build_run(workload or Workload(), parent)
    directory = RunDirectory.create(parent, run.info.plan.name)
    info = replace(run.info, id=directory.id)
    directory.write_info(info)
    with directory.journal() as journal:
        for record in run.records:
            journal.append(record)
    return directory.path


def build_run(w: Workload, path: Path) -> Run:
    """The run without its summary."""
    rng = np.random.default_rng(w.seed)
    cases = _cases(w)
    plan = _plan(w, cases, rng)
    records: list[RequestRecord] = []
    blocks: list[BlockInfo] = []
    now = 0.5
    for block in plan.blocks:
        case = plan.case(block.case)
        model = next(m for m in w.models if m.name == case.model)
        made, info, now = _block(w, block, case, model, now, rng)
        records += made
        blocks.append(info)
        now += 0.4
    if w.status is not RunStatus.COMPLETE:
        blocks = blocks[:-1]
    return Run(path, _info(w, plan, blocks), records)


def _cases(w: Workload) -> list[Case]:
    cases = []
    for model in w.models:
        for tokens in w.prompt_tokens:
            for users in w.users:
                axes = {"model": model.name, "target": "local"}
                if len(w.users) > 1:
                    axes["users"] = str(users)
                if len(w.prompt_tokens) > 1:
                    axes["prompts.synthetic.input_tokens"] = str(tokens)
                extra = [f"{k.rpartition('.')[2]}={v}" for k, v in axes.items()][2:]
                prompts = SyntheticPrompts(Distribution("fixed", {"value": tokens}), None, "en")
                load = (
                    Load("open", rate_per_s=w.rate_per_s, requests=w.requests)
                    if w.rate_per_s
                    else Load("closed", users=users, requests=w.requests)
                )
                cases.append(
                    Case(
                        id=", ".join([model.name, *extra]),
                        axes=axes,
                        target="local",
                        model=model.name,
                        endpoint="chat",
                        stream=w.stream,
                        options={
                            "num_ctx": 8192,
                            "temperature": 0,
                            "seed": 7,
                            "num_predict": w.output_tokens,
                        },
                        think=True if model.thinking_share else None,
                        keep_alive="5m",
                        prompts=PromptSpec(synthetic=prompts),
                        load=load,
                        warmup=w.warmup,
                    )
                )
    return cases


def _plan(w: Workload, cases: list[Case], rng: np.random.Generator) -> Plan:
    blocks: list[Block] = []
    for repetition in range(w.blocks):
        for position in rng.permutation(len(cases)):
            case = cases[int(position)]
            blocks.append(Block(len(blocks), case.id, repetition, seed=100 + repetition))
    scenario = {
        "schema": 1,
        "name": w.name,
        "models": [m.name for m in w.models],
        "load": {"closed": {"users": list(w.users), "requests": w.requests}},
    }
    return Plan(
        name=w.name,
        description=w.description,
        tags=(),
        source=f"{w.name}.yaml",
        scenario=scenario,
        targets=(Target("local", "http://127.0.0.1:11434"),),
        cases=tuple(cases),
        blocks=tuple(blocks),
        seed=w.seed,
        salt=1234,
        thresholds=tuple(map(parse_threshold, w.thresholds)),
    )


def _block(
    w: Workload, block: Block, case: Case, model: FakeModel, start: float, rng: np.random.Generator
) -> tuple[list[RequestRecord], BlockInfo, float]:
    load_s = 1.8 if block.repetition == 0 else 0.0
    now = start + load_s
    records: list[RequestRecord] = []
    for i in range(w.warmup):
        record = _request(w, block, case, model, i, Phase.WARMUP, now, now, 1, rng)
        records.append(record)
        assert record.end_ns is not None
        now = record.end_ns / NS + 0.001
    window_start = now
    measured = _closed_loop(w, block, case, model, now, rng)
    records += sorted(measured, key=lambda r: r.end_ns or 0)
    now = max(r.end_ns or 0 for r in measured) / NS
    share = Residency(
        True, _digest(model.name), 3_400_000_000, int(3_400_000_000 * model.gpu_share), 8192
    )
    util = _utilisation(start, now, rng) if w.utilisation else {}
    info = BlockInfo(
        index=block.index,
        case=case.id,
        start_ns=round(start * NS),
        end_ns=round((now + 0.01) * NS),
        window_start_ns=round(window_start * NS),
        window_end_ns=round(now * NS),
        load_ns=round(load_s * NS) or None,
        before=share,
        after=share,
        health=ClientHealth(1.1, 2.4, 0.2, 0.11, reads=4000, coalesced_lines=3),
        utilisation=util,
    )
    return records, info, now + 0.01


def _closed_loop(
    w: Workload, block: Block, case: Case, model: FakeModel, now: float, rng: np.random.Generator
) -> list[RequestRecord]:
    users = case.load.users or 1
    slots = [now] * w.slots
    heapq.heapify(slots)
    ready = [(now + 0.002 * u, u) for u in range(users)]
    heapq.heapify(ready)
    due = now
    records = []
    for i in range(w.requests):
        if w.rate_per_s:
            due += float(rng.exponential(1 / w.rate_per_s))
            sent, user = due, 0
        else:
            sent, user = heapq.heappop(ready)
        begin = max(sent, heapq.heappop(slots))
        active = min(users, w.slots)
        record = _request(w, block, case, model, i, Phase.MEASURE, sent, begin, active, rng, user)
        records.append(record)
        assert record.end_ns is not None
        heapq.heappush(slots, record.end_ns / NS)
        heapq.heappush(ready, (record.end_ns / NS + 0.001, user))
    return records


def _request(
    w: Workload,
    block: Block,
    case: Case,
    model: FakeModel,
    index: int,
    phase: Phase,
    sent: float,
    begin: float,
    active: int,
    rng: np.random.Generator,
    user: int = 0,
) -> RequestRecord:
    assert case.prompts.synthetic is not None
    tokens = round(case.prompts.synthetic.input_tokens.params["value"] * rng.normal(1, 0.03)) + 12
    prefill = tokens / model.prefill_tok_per_s * rng.normal(1.0, 0.05)
    step = model.step_s * (1 + 0.09 * (active - 1)) * (1 + tokens / 20_000)
    step *= (1 + w.block_drift * block.repetition) * rng.normal(1.0, 0.008)
    n = w.output_tokens
    gaps = step * rng.lognormal(0, 0.05, n - 1)
    overhead = 0.004 + rng.exponential(0.002)
    queue = begin - sent + 0.001
    first = queue + prefill + overhead / 2
    end = first + float(gaps.sum()) + overhead / 2
    to_ns = lambda s: round((sent + s) * NS)  # noqa: E731
    base = {
        "case": case.id,
        "block": block.index,
        "index": index,
        "phase": phase,
        "model": model.name,
        "stream": w.stream,
        "user": None if w.rate_per_s else user,
        "planned_ns": round(sent * NS) if w.rate_per_s else None,
        "sent_ns": round((sent + (0.0002 if w.rate_per_s else 0)) * NS),
        "end_ns": to_ns(end),
        "num_predict": n,
        "prompt_sha256": hashlib.sha256(
            f"{case.id}/{block.seed}/{phase}/{index}".encode()
        ).hexdigest()[:16],
        "output_sha256": "0123456789abcdef",
    }
    if phase is Phase.MEASURE and rng.random() < w.failures:
        return RequestRecord(
            **{**base, "end_ns": to_ns(queue + 0.05)},
            outcome=Outcome.HTTP_ERROR,
            status=500,
            error=w.error_text,
        )
    server = ServerTimings(
        total_duration=round((queue + prefill + float(gaps.sum()) + 0.003) * NS),
        load_duration=round(0.002 * NS),
        prompt_eval_count=tokens,
        prompt_eval_duration=round(prefill * NS),
        eval_count=n,
        eval_duration=round(float(gaps.sum()) * NS),
    )
    thought = int(n * model.thinking_share)
    times = first + np.concatenate([[0.0], np.cumsum(gaps)])
    stamps = np.diff(np.round(np.concatenate([[0.0], times, [end]]) * NS)).astype(int)
    streamed: dict[str, Any] = {}
    if w.stream:
        streamed = {
            "headers_ns": to_ns(first),
            "first_chunk_ns": to_ns(first),
            "first_thinking_ns": to_ns(first) if thought else None,
            "first_answer_ns": to_ns(times[thought]),
            "last_text_ns": to_ns(times[-1]),
            "chunk_gaps_ns": stamps.tolist(),
            "chunks": n + 1,
            "text_chunks": n,
        }
    return RequestRecord(
        **base,
        **streamed,
        outcome=Outcome.OK,
        status=200,
        done_reason="length",
        server=server,
        answer_chars=(n - thought) * 4,
        thinking_chars=thought * 4,
    )


def _utilisation(
    start: float, end: float, rng: np.random.Generator
) -> dict[str, list[tuple[int, float]]]:
    times = np.arange(start, end, 0.25)
    times = times[:: 1 + len(times) // 1200]  # as many as a run keeps of a block
    return {
        "gpu_share": [(round(t * NS), float(rng.uniform(0.85, 0.99))) for t in times],
        "cpu_share": [(round(t * NS), float(rng.uniform(0.05, 0.2))) for t in times],
    }


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _info(w: Workload, plan: Plan, blocks: list[BlockInfo]) -> RunInfo:
    settings = {"OLLAMA_NUM_PARALLEL": str(w.slots_asked)} if w.slots_asked else {}
    engine = "simulated" if w.simulated else "ollama"
    return RunInfo(
        id=f"20260101T101500Z-{w.name}-3f9c",
        status=w.status,
        tool_version="0.1.0",
        created_at="2026-01-01T10:15:00+00:00",
        finished_at="2026-01-01T10:31:40+00:00",
        clock=ClockInfo(5 * NS, "2026-01-01T10:15:00+00:00"),
        plan=plan,
        targets=(
            TargetInfo(
                "local",
                "http://127.0.0.1:11434",
                w.version,
                "E3",
                engine,
                simulated=w.simulated,
                same_host=True,
                settings=settings,
            ),
        ),
        models=tuple(
            ModelInfo(
                "local",
                m.name,
                _digest(m.name),
                "gguf",
                "llama",
                m.parameter_size,
                m.quantization,
                2_019_393_189,
                131_072,
                ("completion", "tools"),
            )
            for m in w.models
        ),
        blocks=tuple(blocks),
        warnings=w.warnings,
        environment=w.environment or _environment(),
        transport=TransportInfo("kernel", "Linux, plain http", 1),
    )


def _environment() -> dict[str, Any]:
    return {
        "os": "Linux 6.1.0",
        "machine": "x86_64",
        "python": "3.11.2",
        "cpu": {
            "model": "AMD Ryzen 9 7950X",
            "cores": 16,
            "threads": 32,
            "governor": "performance",
        },
        "memory_bytes": 67_108_864_000,
        "gpus": [
            {"name": "NVIDIA GeForce RTX 3060", "driver": "550.54", "memory_mib": "12288"},
        ],
        "settings": {"OLLAMA_NUM_PARALLEL": "4"},
    }


LLAMA = FakeModel("llama3.2:3b-instruct-q4_K_M")
LLAMA_Q8 = FakeModel(
    "llama3.2:3b-instruct-q8_0", step_s=0.031, prefill_tok_per_s=1350, quantization="Q8_0"
)
QWEN = FakeModel("qwen2.5:7b", step_s=0.043, prefill_tok_per_s=720, parameter_size="7.6B")
THINKER = FakeModel(
    "deepseek-r1:8b", step_s=0.047, prefill_tok_per_s=700, parameter_size="8B", thinking_share=0.6
)
CHINESE = FakeModel("通义千问:7b-智能助手 🦙", step_s=0.04, prefill_tok_per_s=700)
HOSTILE = FakeModel("<script>alert('x')</script>$\\frac{1}{2}$:1b", step_s=0.012)

CHAT = Workload(
    models=(LLAMA, LLAMA_Q8, QWEN), thresholds=("ttft_s.p95 <= 2", "decode_tok_per_s >= 40")
)
CONCURRENCY = Workload(
    name="concurrency",
    models=(LLAMA, QWEN),
    users=(1, 2, 4, 8),
    description="How throughput and waiting grow with users.",
    utilisation=True,
)
DEPTH = Workload(
    name="context-depth",
    models=(LLAMA, LLAMA_Q8),
    prompt_tokens=(500, 1000, 2000, 4000, 8000),
    requests=12,
    description="Decode speed against context.",
)
HARD = Workload(
    name="hard <b>case</b>",
    models=(HOSTILE, CHINESE, THINKER),
    failures=0.1,
    error_text='</script><img src=x onerror=alert(1)>{"error":"内存不足 💥"}',
    simulated=True,
    block_drift=0.06,
)
