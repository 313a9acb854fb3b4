"""All that is said of the server's machine in one case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.energy_metrics import energy_metrics, energy_values
from bench.analysis.run.machine import case_energy
from bench.analysis.run.machine_checks import cost_warnings, machine_warnings
from bench.analysis.run.roofline import roofline, share_metric, share_values
from bench.analysis.run.summary import BlockSummary, Metric, Roofline
from bench.results.run import RunInfo, RunWarning
from bench.scenario.prices import parse_prices


@dataclass(frozen=True, slots=True)
class MachineSide:
    """What a case shows of the server's machine.

    Attributes:
        values: block index -> values beside those of the requests.
    """

    metrics: dict[str, Metric]
    values: dict[int, dict[str, float]]
    roofline: Roofline | None
    warnings: tuple[RunWarning, ...]

    def with_values(self, blocks: Iterable[BlockSummary]) -> tuple[BlockSummary, ...]:
        """The blocks with their values of the machine."""
        return tuple(
            replace(b, values=b.values | self.values.get(b.index, {})) for b in blocks
        )  # fmt: skip


def machine_side(
    info: RunInfo,
    data: CaseData,
    metrics: dict[str, Metric],
    gpu_shares: list[float],
    decode_rates: dict[int, float],
) -> MachineSide:
    """Energy, power, cost and the share of the memory's bandwidth."""
    energy = case_energy(info, data, gpu_shares)
    roof = roofline(info, data, gpu_shares, metrics)
    rate = metrics["decode_tok_per_s"].stats.get("value")
    values = energy_values(data, energy)
    for index, share in share_values(roof, decode_rates).items():
        values.setdefault(index, {})["mem_bw_share"] = share
    prices = parse_prices(_texts(info.plan.scenario.get("price")))
    used = energy_metrics(data, energy, prices)
    return MachineSide(
        used | {"mem_bw_share": share_metric(roof, rate)},
        values,
        roof if isinstance(roof, Roofline) else None,
        (
            *machine_warnings(data, energy, roof),
            *(cost_warnings(data, used["cost_per_mtok"]) if prices else ()),
        ),
    )


def _texts(given: object) -> list[str]:
    return [str(p) for p in given] if isinstance(given, list | tuple) else []
