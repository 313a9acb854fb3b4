"""Builds runs of one case from a few words, in seconds; and replays recorded exchanges."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.run.columns import Columns
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import CaseSummary, Summary
from bench.results.record import Phase, RequestRecord
from bench.results.run import (
    BlockInfo,
    ClockInfo,
    ModelInfo,
    Residency,
    RunInfo,
    RunStatus,
    TargetInfo,
)
from bench.scenario.plan import Block, Case, Load, Plan, PromptSpec, Target
from bench.thresholds import parse_threshold
from bench.wire.exchange import Outcome, ServerTimings

CASE = "llama3.2:3b"
RECORDINGS = Path(__file__).parents[2] / "recordings"


def ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)


def request(
    sent: float = 0.0,
    *,
    ttft: float | None = 0.5,
    tokens: int | None = 21,
    decode: float = 1.0,
    prompt_tokens: int | None = 200,
    queue: float = 0.0,
    load: float = 0.001,
    planned: float | None = None,
    outcome: Outcome = Outcome.OK,
    stream: bool = True,
    block: int = 0,
    index: int = 0,
    **other: Any,
) -> RequestRecord:
    """A request with evenly spread chunks, whose server durations add up.

    Args:
        ttft: from send to first text; holds load, queue and prefill.
        decode: from first to last text.
    """
    first = None if ttft is None else sent + ttft
    last = None if first is None else first + decode
    end = last if last is not None else sent + decode
    prefill = None if ttft is None else ttft - load - queue
    server = ServerTimings(
        total_duration=ns(end - sent),
        load_duration=ns(load),
        prompt_eval_count=prompt_tokens,
        prompt_eval_duration=ns(prefill),
        eval_count=tokens,
        eval_duration=ns(decode),
    )
    gaps: list[int] = []
    if stream and ttft is not None and tokens:
        gaps = [round(ttft * 1e9), *([round(decode * 1e9 / max(tokens - 1, 1))] * (tokens - 1)), 0]
    record = RequestRecord(
        case=CASE,
        block=block,
        index=index,
        phase=Phase.MEASURE,
        outcome=outcome,
        model="llama3.2:3b",
        stream=stream,
        planned_ns=ns(planned),
        sent_ns=ns(sent),
        headers_ns=ns(first),
        first_chunk_ns=ns(first) if stream else None,
        first_answer_ns=ns(first) if stream else None,
        last_text_ns=ns(last) if stream else None,
        end_ns=ns(end),
        chunk_gaps_ns=gaps,
        chunks=len(gaps),
        text_chunks=max(len(gaps) - 1, 0),
        status=200,
        done_reason="length",
        server=server if outcome is Outcome.OK else ServerTimings(),
    )
    return replace(record, **other)


@dataclass
class RunBuilder:
    """A run of one case; every argument has a usual value."""

    records: list[RequestRecord] = field(default_factory=list)
    blocks: int = 1
    version: str = "0.32.15"
    case: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    format: str = "gguf"
    thresholds: tuple[str, ...] = ()
    windows: dict[int, tuple[float, float]] = field(default_factory=dict)
    block_info: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def plan_case(self) -> Case:
        usual: dict[str, Any] = {
            "id": CASE,
            "axes": {"model": "llama3.2:3b", "target": "here"},
            "target": "here",
            "model": "llama3.2:3b",
            "endpoint": "chat",
            "stream": True,
            "options": {"num_ctx": 4096},
            "think": False,
            "keep_alive": "10m",
            "prompts": PromptSpec(inline=("Why is the sky blue?",)),
            "load": Load("closed", users=1),
            "warmup": 3,
        }
        return Case(**(usual | self.case))

    def info(self) -> RunInfo:
        blocks = tuple(Block(i, CASE, i, seed=i) for i in range(self.blocks))
        plan = Plan(
            name="test",
            description="",
            tags=(),
            source="test.yaml",
            scenario={"name": "test"},
            targets=(Target("here", "http://127.0.0.1:11434"),),
            cases=(self.plan_case,),
            blocks=blocks,
            seed=1,
            salt=2,
            thresholds=tuple(map(parse_threshold, self.thresholds)),
        )
        target = TargetInfo("here", "http://127.0.0.1:11434", self.version, "E3", **self.target)
        usual: dict[str, Any] = {
            "id": "run",
            "status": RunStatus.COMPLETE,
            "tool_version": "0.1",
            "created_at": "2026-01-01T00:00:00Z",
            "clock": ClockInfo(0, "2026-01-01T00:00:00+00:00"),
            "plan": plan,
            "targets": (target,),
            "models": (ModelInfo("here", "llama3.2:3b", "sha256:abc", self.format),),
            "blocks": tuple(self._block_info(b.index) for b in blocks),
        }
        return RunInfo(**(usual | self.run))

    def _block_info(self, index: int) -> BlockInfo:
        mine = [r for r in self.records if r.block == index]
        starts = [r.planned_ns or r.sent_ns or 0 for r in mine if r.phase is Phase.MEASURE]
        ends = [r.end_ns or 0 for r in mine if r.phase is Phase.MEASURE]
        window = self.windows.get(index)
        start, end = (
            (round(window[0] * 1e9), round(window[1] * 1e9))
            if window
            else (min(starts, default=0), max(ends, default=0))
        )
        placed = Residency(True, "sha256:abc", 4_000, 4_000, 4096)
        usual: dict[str, Any] = {"before": placed, "after": placed}
        return BlockInfo(index, CASE, start, end, start, end, **(usual | self.block_info))

    def summary(self) -> Summary:
        return summarise(self.info(), self.records)

    def summary_with(self, other: Case) -> Summary:
        """The summary of this run with one more case, whose one block comes last."""
        info = self.info()
        last = replace(info.plan.blocks[-1], index=len(info.plan.blocks), case=other.id)
        plan = replace(info.plan, cases=(*info.plan.cases, other), blocks=(*info.plan.blocks, last))
        ends = [r.end_ns or 0 for r in self.records if r.case == other.id]
        block = replace(info.blocks[-1], index=last.index, case=other.id)
        block = replace(block, window_start_ns=0, window_end_ns=max(ends, default=0))
        return summarise(replace(info, plan=plan, blocks=(*info.blocks, block)), self.records)

    def case_summary(self) -> CaseSummary:
        return self.summary().cases[0]


@pytest.fixture(scope="session")
def run_of() -> Callable[..., RunBuilder]:
    """`run_of(records, blocks=3, ...)` -> a run to be summarised."""
    return RunBuilder


@pytest.fixture(scope="session")
def a_request() -> Callable[..., RequestRecord]:
    """`a_request(sent, ttft=0.5, tokens=21, ...)` -> a record."""
    return request


@pytest.fixture(scope="session")
def columns_from() -> Callable[[list[RequestRecord]], Columns]:
    """`columns_from(records)` -> their columns."""
    return lambda records: columns_of(records, [CASE])


@pytest.fixture(scope="session")
def recorded() -> Callable[[str, str], RequestRecord]:
    """`recorded("0.24.0", "chat-stream")` -> the record of a real exchange."""
    return _recorded


@pytest.fixture(scope="session")
def recorded_together() -> Callable[[str, str], list[RequestRecord]]:
    """`recorded_together("0.24.0", "parallel-4-six-chats")` -> records of simultaneous chats."""
    return lambda version, name: [_replayed(e) for e in _read(version, name)]


def _recorded(version: str, name: str) -> RequestRecord:
    return _replayed(_read(version, name))


def _read(version: str, name: str) -> Any:
    return json.loads((RECORDINGS / f"ollama-{version}" / f"{name}.json").read_text())


def _replayed(exchange: dict[str, Any]) -> RequestRecord:
    """Reads a recorded exchange by itself, as simply as can be: sent at 0, one stamp a piece."""
    body, pieces = exchange["request"]["body"], exchange["response"]["chunks"]
    lines = [
        (round(piece["ms"] * 1e6), json.loads(line))
        for piece in pieces
        for line in piece["data"].splitlines()
    ]
    stream = body.get("stream", True)
    thinking = [at for at, line in lines if _said(line, "thinking")]
    answer = [at for at, line in lines if _said(line, "content") or line.get("response")]
    arrivals = [at for at, _ in lines]
    last = lines[-1][1]
    outcome = Outcome.OK if last.get("done") else Outcome.ABORTED
    return RequestRecord(
        case=CASE,
        block=0,
        index=0,
        phase=Phase.MEASURE,
        outcome=Outcome.STREAM_ERROR if "error" in last else outcome,
        model=body["model"],
        stream=stream,
        sent_ns=0,
        first_chunk_ns=arrivals[0],
        first_thinking_ns=min(thinking, default=None) if stream else None,
        first_answer_ns=min(answer, default=None) if stream else None,
        last_text_ns=max(thinking + answer, default=None) if stream else None,
        end_ns=arrivals[-1],
        chunk_gaps_ns=[b - a for a, b in pairwise([0, *arrivals])] if stream else [],
        chunks=len(lines),
        text_chunks=len(thinking) + len(answer),
        status=exchange["response"]["status"],
        done_reason=last.get("done_reason"),
        server=ServerTimings(**{f: last.get(f) for f in ServerTimings.__slots__}),
    )


def _said(line: dict[str, Any], kind: str) -> bool:
    return bool(line.get("message", {}).get(kind) or (kind == "thinking" and line.get(kind)))
