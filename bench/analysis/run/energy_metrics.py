"""Energy per token and request, power, and what they cost.

E = energy of the devices that compute the model, over the measured windows; a rate is a ratio of
sums over blocks. The interval is Student's t over blocks, each end moved out by the sampling error:
one tick of the counter (or one sample of power) at each end of each window, which blocks do not
share, and the error of the idle power, which they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Floats
from bench.analysis.run.machine import BlockEnergy, CaseEnergy
from bench.analysis.run.summary import Estimate, Metric, metric_of
from bench.scenario.prices import Price
from bench.stats.means import block_ratio

WH_PER_J = 1 / 3600
_MILLION = 1e6
_ABOVE = "j_per_token_above_idle"
_NO_IDLE = "idle power was not measured: see the telemetry of the server's machine"
_NO_PRICE = "no price was given (--price)"


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
        return metric_of("cost_per_mtok", 0, note=_NO_PRICE)
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
