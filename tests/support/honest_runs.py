"""Honest runs of every era: what each version's durations mean, with the noise of real machines.

One run has one case; what is drawn anew for each: the machine's speeds, the load (one user, several
on fewer slots, open loop), the answers' lengths and how they end, streams with held-back
characters or hidden end tokens, jitter, network, and whether replies are streamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.ollama.eras import era_of
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, ClockInfo, ModelInfo, RunInfo, RunStatus, TargetInfo
from bench.scenario.plan import Block, Case, Load, Plan, PromptSpec, Target
from bench.wire.exchange import Outcome, ServerTimings

MS = 1e6


@dataclass(frozen=True, slots=True)
class Engine:
    """What a version times, as `bench.ollama.eras` knows it.

    Attributes:
        grain: durations come in multiples of this, ns.
        sampling: share of a decode step that eval_duration leaves out.
        first_timed: eval_duration covers the first token, too.
        load: (low, high) of a warm load_duration, s.
        counts_end: the end token is in eval_count.
    """

    version: str
    format: str = "gguf"
    grain: int = 1
    sampling: tuple[float, float] = (0.0, 0.0)
    first_timed: bool = False
    load: tuple[float, float] = (0.02, 0.1)
    counts_end: bool = True


ERAS: dict[str, Engine] = {
    "0.3.14 (E1)": Engine("0.3.14", grain=1000),
    "0.5.13 (E2a, milliseconds)": Engine("0.5.13", grain=1_000_000),
    "0.9.6 (E2a)": Engine("0.9.6"),
    "0.12.11 (E2b)": Engine("0.12.11", sampling=(0.0, 0.04)),
    "0.24.0 (E2b)": Engine("0.24.0", sampling=(0.0, 0.04)),
    "0.30.0 (E3)": Engine("0.30.0", load=(0.09, 0.3)),
    "0.32.15 (E3)": Engine("0.32.15", load=(0.0007, 0.003)),
    "0.33.3 (E3, cached counts)": Engine("0.33.3", load=(0.0007, 0.003)),
    "0.32.15 (MLX)": Engine(
        "0.32.15", "safetensors", first_timed=True, load=(0.0007, 0.003), counts_end=False
    ),
}


def honest_run(name: str, rng: np.random.Generator) -> tuple[RunInfo, list[RequestRecord]]:
    """A run of one case on a server of this era."""
    engine = ERAS[name]
    users = int(rng.choice([1, 1, 2, 4]))
    slots = int(rng.choice([1, users]))
    stream = bool(rng.random() < 0.7)
    predict = int(rng.integers(16, 300))
    machine = {
        "prompt_s": float(rng.lognormal(np.log(0.2), 1.0)),
        "step_s": float(rng.lognormal(np.log(0.015), 0.9)),
        "network_s": float(rng.choice([0.0002, 0.002, 0.03])),
        "cv": float(rng.choice([0.005, 0.03, 0.15])),
        "natural": float(rng.choice([0.0, 0.5, 1.0])),
        "script": str(rng.choice(["latin", "latin", "emoji", "thinking"])),
    }
    case = Case(
        id="case", axes={}, target="here", model="m", endpoint="chat", stream=stream,
        options={"num_ctx": 8192, "num_predict": predict}, think=False, keep_alive="10m",
        prompts=PromptSpec(inline=("Why?",)), load=Load("closed", users=users), warmup=0,
    )  # fmt: skip
    records: list[RequestRecord] = []
    free = [0.0] * slots
    ready = [0.01 * u for u in range(users)]
    for index in range(36):
        user = int(np.argmin(ready))
        slot = int(np.argmin(free))
        record, done = _request(
            engine, machine, predict, index, ready[user], free[slot], stream, rng
        )
        free[slot] = done
        ready[user] = (record.end_ns or 0) / 1e9 + 0.0002
        records.append(record)
    ends = max(r.end_ns or 0 for r in records)
    plan = Plan(
        "honest", "", (), "", {}, (Target("here", "http://x"),), (case,),
        (Block(0, "case", 0, seed=1),), 1, 2,
    )  # fmt: skip
    info = RunInfo(
        "run", RunStatus.COMPLETE, "0", "", ClockInfo(0, ""), plan,
        (TargetInfo("here", "http://x", engine.version, era_of(engine.version).id),),
        (ModelInfo("here", "m", "d", engine.format),),
        (BlockInfo(0, "case", 0, ends, 0, ends, server_version=engine.version),),
    )  # fmt: skip
    return info, records


def _request(
    engine: Engine,
    machine: dict[str, Any],
    predict: int,
    index: int,
    sent: float,
    slot_free: float,
    stream: bool,
    rng: np.random.Generator,
) -> tuple[RequestRecord, float]:
    """One reply, and when its slot is free again (seconds)."""
    stops = rng.random() < machine["natural"]
    tokens = int(rng.integers(4, predict + 1)) if stops else predict
    network = machine["network_s"] * rng.uniform(0.5, 1.5)
    load = rng.uniform(*engine.load)
    tokenising = rng.uniform(0.0016, 0.012)
    prompt = machine["prompt_s"] * rng.lognormal(0, machine["cv"])
    steps = machine["step_s"] * rng.lognormal(0, machine["cv"], tokens)
    started = max(sent + network / 2 + load + tokenising, slot_free)
    first = started + prompt + (steps[0] if engine.first_timed else 0.0)
    made = first + np.concatenate(([0.0], np.cumsum(steps[1:])))
    closing = rng.uniform(0.0001, 0.002)
    total = made[-1] + closing - sent - network / 2
    sampling = rng.uniform(*engine.sampling)
    decode = float(made[-1] - first) * (1 - sampling) + (steps[0] if engine.first_timed else 0.0)
    counted = tokens if engine.counts_end or not stops else tokens - 1
    arrivals, chars = _arrivals(made, machine["script"], stops, network, rng)
    end = made[-1] + closing + network / 2
    server = ServerTimings(
        total_duration=round(total * 1e9),
        load_duration=round(load * 1e9),
        prompt_eval_count=200,
        prompt_eval_cached_count=0 if engine.version == "0.33.3" else None,
        prompt_eval_duration=_grain(prompt, engine.grain),
        eval_count=max(counted, 1),
        eval_duration=_grain(decode, engine.grain),
    )
    texts = len(arrivals)
    gaps = np.round((np.concatenate((arrivals, [max(end, arrivals[-1])])) - sent) * 1e9)
    offsets = np.diff(np.concatenate(([0.0], gaps))).astype(np.int64)
    stamps = np.cumsum(offsets) + round(sent * 1e9)
    record = RequestRecord(
        case="case", block=0, index=index, phase=Phase.MEASURE, outcome=Outcome.OK, model="m",
        stream=stream, user=0, sent_ns=round(sent * 1e9),
        first_answer_ns=int(stamps[0]) if stream else None,
        last_text_ns=int(stamps[-2]) if stream else None,
        end_ns=int(stamps[-1]), chunk_gaps_ns=offsets.tolist() if stream else [],
        chunks=texts + 1, text_chunks=texts if stream else 1, answer_chars=chars,
        num_predict=predict, done_reason="stop" if stops else "length", server=server,
    )  # fmt: skip
    return record, float(made[-1])


def _arrivals(
    made: np.ndarray[Any, Any],
    script: str,
    stops: bool,
    network: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray[Any, Any], int]:
    """When text arrives, and how many characters it is."""
    seen = made[:-1] if stops and len(made) > 1 else made
    if script == "emoji" and len(seen) > 4:  # several tokens make one character
        seen = seen[2::3]
    if script == "thinking" and len(seen) > 12:  # tags are swallowed
        seen = np.delete(seen, [0, 1, len(seen) // 2])
    late = network / 2 + rng.gamma(2.0, max(network, 0.0002) * 0.02, len(seen))
    arrivals = np.maximum.accumulate(seen + late)
    chars = len(seen) * (1 if script == "emoji" else 4)
    return arrivals, chars


def _grain(seconds: float, grain: int) -> int | None:
    """A duration as the version's clock says it; a zero is left out."""
    return round(seconds * 1e9 / grain) * grain or None
