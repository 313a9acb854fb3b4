"""Fit a profile to one run, replay another in virtual time, and compare with what was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.analysis.run.columns import Columns
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.results.directory import read_run
from bench.simulation.fit import ServiceFit
from bench.simulation.fleet import Workload, simulate_fleet
from bench.stats.quantiles import order_statistic_ranks

SETTLE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Compared:
    """Predicted / measured.

    `p95_bounds`: the same for the ends of the measured p95's 95 % interval, as if requests were
    independent: since those near in time are not, it is wider in truth.
    """

    ttft_p50: float
    ttft_p95: float
    tok_per_s: float
    p95_bounds: tuple[float, float]

    def within(self, share: float) -> bool:
        """Whether all three are off by no more than this share."""
        ratios = (self.ttft_p50, self.ttft_p95, self.tok_per_s)
        return all(1 - share <= ratio <= 1 + share for ratio in ratios)

    def __str__(self) -> str:
        return (
            f"TTFT p50 {self.ttft_p50:.2f}, p95 {self.ttft_p95:.2f} "
            f"({self.p95_bounds[0]:.2f} to {self.p95_bounds[1]:.2f}), "
            f"throughput {self.tok_per_s:.2f} of what was measured"
        )


def measured_columns(path: Path) -> Columns:
    """The measured requests of an open-loop run that ended well, in order of arrival."""
    run = read_run(path)
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    columns = columns.select(columns.measured & columns.ok)
    return columns.select(np.argsort(columns.planned_ns, kind="stable"))


def compare(fit: ServiceFit, slots: int, path: Path) -> Compared:
    """Replay an open-loop run's own arrivals and lengths on the fitted model with these slots."""
    columns = measured_columns(path)
    at_ns = (columns.planned_ns - columns.planned_ns[0]).astype(np.int64)
    output_n = columns.output_tokens.astype(np.int64)
    cached = np.nan_to_num(columns.cached_tokens)
    prompt_n = np.maximum(columns.prompt_tokens - cached, 1).astype(np.int64)
    said = simulate_fleet(
        replace(fit.parameters, slots=slots),
        Workload(at_ns, prompt_n, output_n),
        overhead_ns=fit.overhead_ns,
    )
    begin = int(len(columns) * SETTLE_SHARE)
    seen = latencies(columns)["ttft_s"][begin:]
    quantiles = [
        float(np.quantile(said.ttft_s[begin:], p) / np.quantile(seen, p)) for p in (0.5, 0.95)
    ]
    low, high = order_statistic_ranks(len(seen), 0.95)
    ends = np.sort(seen)[[min(high, len(seen)) - 1, max(low, 1) - 1]]
    bounds = np.quantile(said.ttft_s[begin:], 0.95) / ends
    span_ns = float(columns.end_ns.max() - columns.planned_ns[0])
    rate = span_ns / float(said.end_ns.max() - at_ns[0])
    return Compared(*quantiles, rate, (float(bounds[0]), float(bounds[1])))
