"""What the server's machine did to a case: throttled, swapped, left its GPU alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.machine import CARDS, CaseEnergy, window
from bench.analysis.run.summary import Metric, Roofline
from bench.results.run import BlockInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Case

THROTTLED_SHARE: Final = 0.1
_SWAPPED_BYTES: Final = 64 * 2**20
CAUSES: Final = {
    "throttled_thermal": ("it is too hot", "Let it cool, clean it, or lower its power limit."),
    "throttled_hardware": (
        "its hardware slows it down",
        "Look at its power supply and cables, and at its temperature.",
    ),
}
"""End of the name of a series of 0 and 1 -> why a card is slow then, and what to do."""


def machine_warnings(
    data: CaseData, energy: CaseEnergy, roof: Roofline | str
) -> Iterator[RunWarning]:
    """Warnings from what was sampled in the measured windows of a case; without samples none."""
    blocks = [data.infos[i] for i in sorted(data.infos)]
    yield from sampled_warnings(data.case, blocks)
    if energy.ratio is not None:
        yield RunWarning(
            WarningCode.POWER_DISAGREES,
            f"the counter of energy says {energy.ratio:.2f} times what the readings of power add "
            "up to",
            "Trust energy per token no further than that; another driver may read better.",
        )
    if isinstance(roof, Roofline) and roof.share > 1:
        yield RunWarning(
            WarningCode.ABOVE_ROOF,
            f"decoding would read {roof.bytes_per_s / 1e9:,.1f} GB/s, more than the "
            f"{roof.reachable_bytes_per_s / 1e9:,.1f} GB/s that the memory gives ({roof.source}): "
            "no share of it is shown",
            "Something is assumed wrong: other work while the memory was measured, weights that "
            "fit into a cache, speculative decoding, or the bytes of a token.",
        )


def cost_warnings(data: CaseData, cost: Metric) -> Iterator[RunWarning]:
    """That there is no cost although there is a price; invented answers have none anyway."""
    if cost.stats or data.target.simulated:
        return
    yield RunWarning(
        WarningCode.COST_UNKNOWN,
        f"a price was given, but the cost is not known: {cost.note}",
        "The price of the machine's time alone (--price MONEY/h) needs no energy.",
    )


def sampled_warnings(case: Case, blocks: Sequence[BlockInfo]) -> Iterator[RunWarning]:
    """What the samples of a case's blocks show: heat, swapping, a GPU left alone."""
    yield from _throttled(blocks)
    yield from _swapped(blocks)
    yield from _left_alone(case, blocks)


def throttling(blocks: Sequence[BlockInfo]) -> dict[str, list[BlockInfo]]:
    """The blocks in whose windows a card was slowed down, by series, such as "gpu0_..."."""
    names = dict.fromkeys(n for b in blocks for n in b.utilisation)
    found = {}
    for name in names:
        if name.partition("_")[2] not in CAUSES:
            continue
        hit = [b for b in blocks if (f := window(b, name)) and sum(f) >= THROTTLED_SHARE * len(f)]
        if hit:
            found[name] = hit
    return found


def _throttled(blocks: Sequence[BlockInfo]) -> Iterator[RunWarning]:
    """Cards that were slowed down, each with its evidence."""
    for name, hit in throttling(blocks).items():
        device, _, cause = name.partition("_")
        why, advice = CAUSES[cause]
        flags = [v for b in hit for v in window(b, name)]
        yield RunWarning(
            WarningCode.THROTTLED,
            f"{device} ran slower in {_of(len(hit), len(blocks))}, because {why}: "
            f"{sum(flags):.0f} of {len(flags)} samples there{_evidence(hit, device)}",
            advice,
        )


def _of(some: int, total: int) -> str:
    return "its only block" if total == 1 else f"{some} of {total} blocks"


def _evidence(blocks: Sequence[BlockInfo], device: str) -> str:
    """Temperature and clock over the windows, as far as they are known."""
    said = ""
    if hot := [v for b in blocks for v in window(b, f"{device}_temperature_c")]:
        said += f", up to {max(hot):.0f} °C"
    if clocks := [v for b in blocks for v in window(b, f"{device}_sm_clock_mhz")]:
        said += f", clock {min(clocks):.0f} to {max(clocks):.0f} MHz"
    return said


def swapped_bytes(block: BlockInfo) -> float:
    """What was read back from swap in a block's window."""
    counted = window(block, "swapped_in_bytes")
    return counted[-1] - counted[0] if counted else 0.0


def _swapped(blocks: Sequence[BlockInfo]) -> Iterator[RunWarning]:
    hit = [b for b in blocks if swapped_bytes(b) >= _SWAPPED_BYTES]
    if hit:
        mib = sum(map(swapped_bytes, hit)) / 2**20
        yield RunWarning(
            WarningCode.SWAPPING,
            f"the machine read {mib:,.0f} MiB back from swap in {_of(len(hit), len(blocks))}",
            "Use a smaller model or context, or close other programs.",
        )


def cards_of(blocks: Sequence[BlockInfo]) -> list[str]:
    """The cards that could hold a model, such as "gpu0": those with memory, and NVIDIA's.

    An NVIDIA card with unified memory reports none of its own; another maker's integrated card
    reports energy, but runs no models.
    """
    names = {n.partition("_")[::2] for b in blocks for n in b.utilisation if n.startswith(CARDS)}
    kinds = ("memory_bytes", "sm_clock_mhz")
    return sorted({d for d, what in names if what in kinds[: 1 + d.startswith("gpu")]})


def _left_alone(case: Case, blocks: Sequence[BlockInfo]) -> Iterator[RunWarning]:
    """The whole model is on the CPU although the machine has a card, and nobody asked for that."""
    if case.options.get("num_gpu") == 0:
        return
    hit = [b for b in blocks if b.after and b.after.loaded and b.after.gpu_share == 0]
    if cards := cards_of(hit):
        yield RunWarning(
            WarningCode.CPU_FALLBACK,
            f"{case.model} is computed by the CPU only, although this machine has {cards[0]}",
            "See the server's log: a driver it does not know, too little memory of the card, or "
            "a missing library.",
        )
