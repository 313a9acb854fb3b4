"""Runs with a planted machine: blocks whose energy, tokens and power are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.analysis.run.windows import BlockThroughput
from bench.results.run import BlockInfo, Residency

NS = 10**9


def block(
    index: int = 0,
    seconds: float = 10.0,
    watts: float = 200.0,
    device: str = "gpu0",
    tick_s: float = 0.1,
    phase_s: float = 0.0,
    gpu_share: float | None = 1.0,
    power_too: bool = False,
    **series: float,
) -> BlockInfo:
    """A window of so many seconds in which a counter ticks."""
    start = index * 1000 * NS
    at = start + np.arange(0, seconds + 2.05, 0.1) * NS
    ticked = np.floor((at - start - phase_s * NS) / (tick_s * NS)) * tick_s
    joules = (ticked * watts).tolist()
    samples = {f"{device}_energy_j": list(zip(at.astype(int).tolist(), joules, strict=True))}
    if power_too:
        samples[f"{device}_power_w"] = [(int(t), watts) for t in at[::10]]
    for name, value in series.items():
        samples[name] = [(int(t), value) for t in at]
    after = None
    if gpu_share is not None:
        after = Residency(True, size_bytes=1000, vram_bytes=round(1000 * gpu_share))
    window = (start + NS, start + NS + round(seconds * NS))
    return BlockInfo(index, "c", start, int(at[-1]), *window, after=after, utilisation=samples)


def data(blocks: list[BlockInfo], tokens: list[float], requests: float = 10.0) -> Any:
    """What energy metrics read of a case."""
    done = {
        b.index: BlockThroughput((b.window_end_ns - b.window_start_ns) / NS, n, requests, 0, 0)
        for b, n in zip(blocks, tokens, strict=True)
    }
    return SimpleNamespace(
        infos={b.index: b for b in blocks},
        throughput=done,
        target=SimpleNamespace(simulated=False, same_host=True, settings={}),
        case=SimpleNamespace(target="here", id="c", options={}, model="m:1b"),
    )


def info(**environment: Any) -> Any:
    """The rest of the run."""
    return SimpleNamespace(environment=environment, plan=SimpleNamespace(scenario={}))
