"""What the server's machine did in the measured windows of a case: energy, power, cost.

E = energy of the devices that compute the model, over the measured windows; a rate is a ratio of
sums over blocks. The interval is Student's t over blocks, each end moved out by the sampling error:
one tick of the counter (or one sample of power) at each end of each window, which blocks do not
share, and the error of the idle power, which they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Floats
from bench.analysis.run.summary import Estimate, Metric, metric_of
from bench.results.run import BlockInfo, RunInfo
from bench.scenario.prices import Price
from bench.stats.means import block_ratio
from bench.telemetry.energy import Energy, device_energy, integrated_energy, power_devices

WH_PER_J = 1 / 3600
_MILLION = 1e6
_ABOVE = "j_per_token_above_idle"
_NO_IDLE = "idle power was not measured: see the telemetry of the server's machine"
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


def energy_metrics(
    data: CaseData, energy: CaseEnergy, prices: Mapping[str, Price]
) -> dict[str, Metric]:
    """The metrics of energy and cost of one case; prices are per "kWh" or "h"."""
    worked = {i: e for i, e in energy.blocks.items() if _worked(data, i)}
    if not worked:
        why = energy.why or "no block gave both tokens and energy"
        ids = ("j_per_token", _ABOVE, "j_per_request", "wh_per_mtok", "gpu_power_w")
        found = {id: metric_of(id, 0, note=why) for id in ids}
        return found | {"cost_per_mtok": _cost(None, data, prices, why)}
    blocks = list(worked.values())
    spent = np.array([e.seconds for e in blocks])
    joules = np.array([e.joules for e in blocks])
    error = float(np.sqrt(sum(e.error_j**2 for e in blocks)))
    tokens = np.array([data.throughput[i].output_tokens for i in worked])
    requests = np.array([data.throughput[i].requests for i in worked])
    note = _note(energy, blocks)

    def each(top: Floats, bottom: Floats, error: float = error) -> Estimate:
        return widened(block_ratio(top, bottom), float(error / bottom.sum()))

    per_token = each(joules, tokens)
    made = {"j_per_token": per_token, "wh_per_mtok": scaled(per_token, _MILLION * WH_PER_J)}
    if requests.sum() > 0:
        made["j_per_request"] = each(joules, requests)
    if energy.cards:
        made["gpu_power_w"] = each(np.array([e.cards_j for e in blocks]), spent)
    found = {id: metric_of(id, len(blocks), {"value": one}, note) for id, one in made.items()}
    found["cost_per_mtok"] = _cost(per_token, data, prices, note)
    if energy.idle_w is None:
        return found | {_ABOVE: metric_of(_ABOVE, 0, note=_NO_IDLE)}
    more = error + energy.idle_error_w * spent.sum()
    above = {"value": each(joules - energy.idle_w * spent, tokens, more)}
    note += f"; idle {energy.idle_w:.1f} ± {energy.idle_error_w:.1f} W, {energy.idle_said}"
    return found | {_ABOVE: metric_of(_ABOVE, len(blocks), above, note)}


def energy_values(data: CaseData, energy: CaseEnergy) -> dict[int, dict[str, float]]:
    """The same of each block, as far as comparisons rest on it: block index -> values."""
    found = {}
    for index, block in energy.blocks.items():
        if not _worked(data, index):
            continue
        done = data.throughput[index]
        values = {"j_per_token": block.joules / done.output_tokens}
        if energy.idle_w is not None:
            values[_ABOVE] = (block.joules - energy.idle_w * block.seconds) / done.output_tokens
        if done.requests > 0:
            values["j_per_request"] = block.joules / done.requests
        if block.cards_j:
            values["gpu_power_w"] = block.cards_j / block.seconds
        found[index] = values
    return found


def widened(estimate: Estimate, error: float) -> Estimate:
    """An estimate whose interval holds an error of sampling, too."""
    if estimate.low is None or estimate.high is None:
        return estimate
    method = f"{estimate.method}, sampling error ±{error:.2g}"
    return replace(estimate, low=estimate.low - error, high=estimate.high + error, method=method)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The same in another unit."""
    numbers = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if x is None else x * factor for x in numbers)
    return replace(estimate, value=value, low=low, high=high)


def _worked(data: CaseData, index: int) -> bool:
    done = data.throughput.get(index)
    return done is not None and done.output_tokens > 0


def _note(energy: CaseEnergy, blocks: list[BlockEnergy]) -> str:
    by = " and ".join(dict.fromkeys(e.method for e in blocks))
    by = "added-up power" if by == "power" else by
    note = f"of the {energy.scope}, by {by}"
    if len(blocks) == 1:
        share = blocks[0].error_j / blocks[0].joules if blocks[0].joules else 0.0
        note += f"; sampling error ±{share:.1%}"
    if energy.left_out:
        total = len(energy.left_out) + len(blocks)
        note += f"; {len(energy.left_out)} of {total} blocks left out: {energy.left_out[0]}"
    return note


def _cost(
    per_token: Estimate | None, data: CaseData, prices: Mapping[str, Price], note: str
) -> Metric:
    """Money per million output tokens: energy, and the machine's hours where they have a price."""
    if not prices:
        return metric_of("cost_per_mtok", 0)
    power, hours = prices.get("kWh"), prices.get("h")
    if power is not None and (per_token is None or per_token.value is None):
        return metric_of("cost_per_mtok", 0, note=note)
    parts: list[Estimate] = []
    if power is not None and per_token is not None:
        parts.append(scaled(per_token, _MILLION * WH_PER_J / 1000 * power.amount))
    if hours is not None:
        done = [d for i, d in sorted(data.throughput.items()) if d.output_tokens > 0]
        if not done:
            return metric_of("cost_per_mtok", 0, note="no tokens were counted")
        spent = np.array([d.seconds for d in done])
        tokens = np.array([d.output_tokens for d in done])
        parts.append(scaled(block_ratio(spent, tokens), _MILLION / 3600 * hours.amount))
    said = " and ".join(str(p) for p in (power, hours) if p is not None)
    metric = metric_of("cost_per_mtok", len(data.throughput), {"value": _sum(parts)}, f"at {said}")
    return replace(metric, unit=next(iter(prices.values())).currency or metric.unit)


def _sum(parts: list[Estimate]) -> Estimate:
    """The sum of what need not be independent: ends add up."""
    if len(parts) == 1:
        return parts[0]
    value, low, high = (
        None if None in ends else sum(ends)
        for ends in ([getattr(p, name) for p in parts] for name in ("value", "low", "high"))
    )
    needs = parts[0].needs if low is None else None
    return Estimate(value, low, high, needs, parts[0].method, "blocks")
