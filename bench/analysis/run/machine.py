"""What the server's machine did in the measured windows of a case: its energy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.results.run import BlockInfo, RunInfo
from bench.telemetry.energy import Energy, device_energy, integrated_energy, power_devices

CARDS = ("gpu", "amd", "intel", "apple")
NO_ENERGY = "no energy of the server's machine could be read: see its telemetry"
SIMULATED = "simulated: no model was run"
_DISAGREE = 0.1


def window(info: BlockInfo, name: str) -> list[float]:
    """The samples of one series in the measured window of a block."""
    samples = info.utilisation.get(name, ())
    return [v for t, v in samples if info.window_start_ns <= t <= info.window_end_ns]


def energy_of(info: BlockInfo, device: str) -> Energy | str:
    """Energy of a device in the measured window; in words, why it cannot be said."""
    return device_energy(info.utilisation, device, info.window_start_ns, info.window_end_ns)


def computing(infos: Iterable[BlockInfo], gpu_shares: list[float]) -> list[str] | str:
    """Which devices' energy is the model's, such as "gpu0"; in words, why none can be read.

    Never an idle card's: cards on which no process computes are left out, where the driver lists
    processes.
    """
    blocks = list(infos)
    names = dict.fromkeys(n for b in blocks for n in b.utilisation)
    found = power_devices(list(names))
    cards = [d for d in found if d.startswith(CARDS)]
    packages = [d for d in found if not d.startswith(CARDS)]
    if gpu_shares and max(gpu_shares) == 0:
        cards = [d for d in cards if d.startswith("apple")]
        if not cards and not packages:
            return "the model is on the CPU, whose energy cannot be read"
    used = [d for d in cards if any(sum(window(b, f"{d}_processes")) for b in blocks)]
    chosen = cards = used or cards
    if not cards or (gpu_shares and min(gpu_shares) < 1):
        chosen = [*cards, *packages]
    return chosen or NO_ENERGY


def _what(device: str) -> str:
    if device.startswith("cpu"):
        return "CPU package"
    return "whole chip" if device.startswith("apple") else "GPU board"


@dataclass(frozen=True, slots=True)
class BlockEnergy:
    """Energy of all computing devices in one block's window."""

    joules: float
    error_j: float
    seconds: float
    cards_j: float
    method: str


@dataclass(frozen=True, slots=True)
class CaseEnergy:
    """Energy of a case.

    Attributes:
        blocks: by index; those without are left out, `left_out` says why.
        idle_w, idle_error_w: of the same devices before the run; None = not measured.
        ratio: counter / added-up power, where both can be read and differ much; else None.
    """

    scope: str = ""
    why: str = ""
    blocks: dict[int, BlockEnergy] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    idle_w: float | None = None
    idle_error_w: float = 0.0
    idle_said: str = ""
    ratio: float | None = None
    cards: bool = False


def case_energy(info: RunInfo, data: CaseData, gpu_shares: list[float]) -> CaseEnergy:
    """Energy of every block of a case, where it can be said."""
    if data.target.simulated:
        return CaseEnergy(why=SIMULATED)
    used = computing(data.infos.values(), gpu_shares)
    if isinstance(used, str):
        return CaseEnergy(why=used)
    blocks, refused, ratios = {}, [], []
    for index, block in data.infos.items():
        found = {d: energy_of(block, d) for d in used}
        ratios += [r for d, e in found.items() if (r := _ratio(block, d, e)) is not None]
        known = {d: e for d, e in found.items() if isinstance(e, Energy)}
        if len(known) < len(found):
            refused.append(next(str(e) for e in found.values() if not isinstance(e, Energy)))
            continue
        blocks[index] = BlockEnergy(
            joules=sum(e.joules for e in known.values()),
            error_j=sum(e.error_j for e in known.values()),
            seconds=next(iter(known.values())).seconds,
            cards_j=sum(e.joules for d, e in known.items() if d.startswith(CARDS)),
            method=", ".join(dict.fromkeys(e.method for e in known.values())),
        )
    watts, error_w, said = _idle(info.environment.get("idle"), data.case.target, used)
    return CaseEnergy(
        scope=" and ".join(dict.fromkeys(map(_what, used))),
        why=refused[0] if refused and not blocks else "",
        blocks=blocks,
        left_out=tuple(refused),
        idle_w=watts,
        idle_error_w=error_w,
        idle_said=said,
        ratio=float(np.median(ratios)) if ratios else None,
        cards=any(d.startswith(CARDS) for d in used),
    )


def _ratio(block: BlockInfo, device: str, counted: Energy | str) -> float | None:
    """Counter against added-up power, if they contradict each other beyond their errors."""
    if not isinstance(counted, Energy) or counted.method != "counter":
        return None
    samples = block.utilisation.get(f"{device}_power_w", ())
    power = integrated_energy(list(samples), block.window_start_ns, block.window_end_ns)
    if not isinstance(power, Energy) or not power.joules:
        return None
    apart = abs(counted.joules - power.joules)
    if apart <= _DISAGREE * power.joules + counted.error_j + power.error_j:
        return None
    return counted.joules / power.joules


def _idle(found: object, target: str, devices: list[str]) -> tuple[float | None, float, str]:
    """Watts of the devices before the run (None = not known), their error, and how measured."""
    if not isinstance(found, dict) or found.get("target") != target:
        return None, 0.0, ""
    try:
        said = f"{found['seconds']:g} s before the run, {found.get('state')}"
        parts = [found["devices"][d] for d in devices]
        watts, error = (sum(float(p[key]) for p in parts) for key in ("watts", "error_w"))
    except (TypeError, KeyError, ValueError):
        return None, 0.0, ""
    return watts, error, said
