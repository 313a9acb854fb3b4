"""What may explain a change: hardware, clocks, heat, swapping, spill, and what a cache lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from bench.analysis.comparison.metric_verdicts import case_points
from bench.analysis.comparison.result import BlockPoint, Design
from bench.analysis.comparison.setup_difference import CaseSide, Role, SetupDifference
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.machine import window
from bench.analysis.run.machine_checks import cards_of, swapped_bytes, throttling
from bench.analysis.run.summary import CaseSummary
from bench.results.run import BlockInfo
from bench.stats.paired import LogEffect, paired_effect
from bench.stats.welch import satterthwaite

_APART: Final = 0.03
"""Clocks that differ by less are the same."""
_SWAPPED: Final = 64 * 2**20
_SAME_SHARE: Final = 0.01
_WORDS: Final = {"throttled_thermal": "thermal throttling", "throttled_hardware": "slowed down"}

Names = tuple[str, str]


def hardware_of(environment: Mapping[str, Any]) -> str:
    """The processor and GPUs of an environment (`RunInfo.environment`); "" if not known."""
    cpu = environment.get("cpu") or {}
    gpus = environment.get("gpus") or []
    parts = [cpu.get("model"), *(g.get("name") for g in gpus)]
    return ", ".join(str(p) for p in parts if p)


def machine_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[SetupDifference]:
    """Other hardware forbids; other system software may explain."""
    hardware = hardware_of(a), hardware_of(b)
    if all(hardware) and hardware[0] != hardware[1]:
        yield SetupDifference("hardware", *hardware, Role.BLOCKS, "Measured on different machines.")
    for key, (of, message) in _SYSTEM.items():
        first, second = of(a), of(b)
        if first and second and first != second:
            yield SetupDifference(key, first, second, Role.EXPLAINS, message)


_SYSTEM: Mapping[str, tuple[Callable[[Mapping[str, Any]], str], str]] = {
    "gpu_driver": (
        lambda e: ", ".join({str(g["driver"]): 0 for g in e.get("gpus") or [] if g.get("driver")}),
        "Another GPU driver.",
    ),
    "cpu_governor": (
        lambda e: str((e.get("cpu") or {}).get("governor") or ""),
        "Another CPU frequency governor: clocks differ.",
    ),
    "operating_system": (lambda e: str(e.get("os") or ""), "Another operating system or kernel."),
}


def machine_causes(a: CaseSide, b: CaseSide, names: Names) -> Iterator[SetupDifference]:
    """Differences that may explain a change."""
    sides = (_blocks(a), _blocks(b))
    yield from _clocks(sides, names)
    swapped = [sum(swapped_bytes(x) >= _SWAPPED for x in blocks) for blocks in sides]
    if bool(swapped[0]) != bool(swapped[1]):
        which = int(bool(swapped[1]))
        first, second = (f"{n} of {len(s)} blocks" for n, s in zip(swapped, sides, strict=True))
        message = (
            f"{names[which]} read memory back from swap in {swapped[which]} of "
            f"{len(sides[which])} blocks, the other did not."
        )
        yield SetupDifference("swapping", first, second, Role.EXPLAINS, message)


def with_placement(
    found: Iterable[SetupDifference], a: CaseSide, b: CaseSide, names: Names
) -> tuple[SetupDifference, ...]:
    """The differences, with what the blocks of both sides show where the GPU's share is one."""
    said = _placement((_blocks(a), _blocks(b)), names)
    return tuple(replace(d, message=said) if said and d.key == "gpu_share" else d for d in found)


def _placement(sides: tuple[list[BlockInfo], list[BlockInfo]], names: Names) -> str:
    """Spill or fallback in words, with both sides' evidence; "" if the blocks do not show it."""
    shares = [[b.gpu_share for b in blocks if b.gpu_share is not None] for blocks in sides]
    if not all(shares):
        return ""
    worse = int(min(shares[1]) < min(shares[0]))
    fell = max(shares[worse]) == 0 and max(shares[1 - worse]) > 0
    cause = "Fallback to the CPU" if fell else "A part of the model is off the GPU"
    first, second = (_placed(sides[i], names[i]) for i in (worse, 1 - worse))
    return f"{cause}: {first}; {second}. What runs on the CPU alone makes a large difference."


def _placed(blocks: Sequence[BlockInfo], name: str) -> str:
    """Where one side had its model: "b had 62% of it on the GPU in 3 of 3 blocks"."""
    known = [b.after for b in blocks if b.after and b.after.gpu_share is not None]
    least = min(known, key=lambda r: r.gpu_share or 0.0)
    share = least.gpu_share or 0.0
    hit = sum((r.gpu_share or 0.0) <= share + _SAME_SHARE for r in known)
    where = f"in {hit} of {len(blocks)} blocks"
    if share == 0:
        cards = cards_of(blocks)
        return f"{name} had none of it on the GPU {where}" + (
            f", although its machine has {cards[0]}" if cards else ""
        )
    sizes = ""
    if share < 1 and least.size_bytes and least.vram_bytes is not None:
        sizes = f" ({least.vram_bytes / 1e9:.1f} of {least.size_bytes / 1e9:.1f} GB)"
    return f"{name} had {share:.0%} of it on the GPU{sizes} {where}"


def _blocks(side: CaseSide) -> list[BlockInfo]:
    return [b for b in side.info.blocks if b.case == side.summary.id]


def _clocks(
    sides: tuple[list[BlockInfo], list[BlockInfo]], names: Names
) -> Iterator[SetupDifference]:
    series = [dict.fromkeys(n for b in blocks for n in b.utilisation) for blocks in sides]
    devices = {
        n.partition("_")[0]
        for n in (*series[0], *series[1])
        if n.endswith("_sm_clock_mhz") or n.partition("_")[2] in _WORDS
    }
    for device in sorted(devices):
        clocks = [_clock(blocks, device) for blocks in sides]
        hot = [_hot(blocks, device) for blocks in sides]
        first, second = clocks  # a card that sleeps says 0
        if first and second and abs(second / first - 1) > _APART:
            slow = int(second < first)
            why = f": {hot[slow]}" if hot[slow] else ""
            against = f"{clocks[slow]:,.0f} MHz against {clocks[1 - slow]:,.0f}"
            message = f"{names[slow]} ran at {against}{why}."
        elif bool(hot[0]) != bool(hot[1]):
            slow = int(bool(hot[1]))
            message = f"{names[slow]}: {hot[slow]}, the other not."
        else:
            continue
        shown = [
            f"{c:,.0f} MHz" if c else h or "not throttled" for c, h in zip(clocks, hot, strict=True)
        ]
        yield SetupDifference(f"{device}_clock", shown[0], shown[1], Role.EXPLAINS, message)


def _clock(blocks: Sequence[BlockInfo], device: str) -> float | None:
    """Median over blocks of the mean clock in the window."""
    clocks = [v for b in blocks if (v := window(b, f"{device}_sm_clock_mhz"))]
    return float(np.median([np.mean(v) for v in clocks])) if clocks else None


def _hot(blocks: Sequence[BlockInfo], device: str) -> str:
    """Throttling in words: "thermal throttling in 4 of 6 blocks"; "" if there was none."""
    found = throttling(blocks)
    for cause, words in _WORDS.items():
        if hit := found.get(f"{device}_{cause}"):
            return f"{words} in {len(hit)} of {len(blocks)} blocks"
    return ""


_SHARES: Final = {
    "eligible_cached_share": "of what its sessions had sent before",
    "cached_share": "of its prompts",
}
"""The first that both sides have is used: the share of the history shows a lost cache best."""
_SHARES_APART: Final = 0.05
"""Shares that differ by less move a turn by less than blocks differ among themselves."""
_READS: Final = (
    "ttft_s", "answer_ttft_s", "first_turn_ttft_s", "later_ttft_s", "answer_start_s", "user_turn_s",
    "e2e_s", "prompt_eval_s", "queue_s", "total_s", "request_per_s", "output_tok_per_s",
    "goodput_per_s", "session_per_h", "user_turn_per_h",
)  # fmt: skip
"""Metrics that reading a prompt is part of."""


def cached_causes(
    a: CaseSummary, b: CaseSummary, design: Design, names: tuple[str, str]
) -> Iterator[SetupDifference]:
    """The difference of cached shares, if it is larger than chance and large enough to matter.

    Nothing is said where a server gives no count, or where a side has fewer than two blocks: what
    is unknown explains nothing.
    """
    for share, whole in _SHARES.items():
        sides = case_points(share, a, b, design)
        if min(map(len, sides)) < 2:
            continue
        shares = [float(np.mean([p.value for p in side])) for side in sides]
        low, high = _difference(sides, design).log_interval()
        if low <= 0 <= high or abs(shares[1] - shares[0]) < _SHARES_APART:
            return
        lost = shares[1] < shares[0]
        first, second = (f"{100 * value:.1f} %" for value in shares)
        message = (
            f"{names[1]} took {second} {whole} from its cache, {names[0]} {first} (difference "
            f"{_points(low)} to {_points(high)} points): it reads {'more' if lost else 'less'} of "
            "each prompt again."
        )
        verdict = Verdict.WORSE if lost else Verdict.BETTER
        yield SetupDifference(share, first, second, Role.EXPLAINS, message, _READS, verdict)
        return


def _difference(sides: Sequence[Sequence[BlockPoint]], design: Design) -> LogEffect:
    """Candidate minus baseline. Shares may be 0, so the difference is not of their logarithms."""
    first, second = (np.array([p.value for p in side]) for side in sides)
    if design is Design.PAIRED:
        return paired_effect(second - first)
    parts = [(float(v.var(ddof=1)) / v.size, v.size - 1.0) for v in (first, second)]
    variance, df = satterthwaite(parts)
    fewest = min(first.size, second.size)
    return LogEffect(float(second.mean() - first.mean()), math.sqrt(variance), df, fewest)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")
