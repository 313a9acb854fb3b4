"""Latencies by sender: one office has a slow line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import Columns, Floats, Ints
from bench.analysis.run.evidence import judged
from bench.analysis.run.latency import latencies
from bench.analysis.run.sample import one_per_request
from bench.analysis.run.summary import Estimate
from bench.results.record import RequestRecord
from bench.results.records import records_of
from bench.stats.quantiles import quantile_estimates

_MEDIAN = {"p50": 0.5}


@dataclass(frozen=True, slots=True)
class SenderLatency:
    """What one sender's requests of one case took.

    Attributes:
        case: its id.
        worker: number of the sender.
        n: measured requests that ended well.
        failed: measured requests that did not.
        ttft_s, e2e_s: medians with their intervals, as of the whole case.
    """

    case: str
    worker: int
    n: int
    failed: int
    ttft_s: Estimate
    e2e_s: Estimate


def sender_latencies(
    records: Iterable[RequestRecord], case_ids: Sequence[str]
) -> list[SenderLatency]:
    """One for every case and sender, in this order."""
    read = records_of(records)
    columns = judged(read, case_ids).columns
    worker = read.columns.whole["worker"][columns.row]
    known = (columns.case >= 0) & columns.measured
    pairs = sorted(set(zip(columns.case[known].tolist(), worker[known].tolist(), strict=True)))
    return [
        _of(case_ids[c], w, columns.select(known & (columns.case == c) & (worker == w)))
        for c, w in pairs
    ]


def _of(case: str, worker: int, measured: Columns) -> SenderLatency:
    ok = measured.select(measured.ok)
    times = latencies(ok)
    return SenderLatency(
        case,
        worker,
        len(ok),
        len(measured) - len(ok),
        _median(times["ttft_s"], ok.block),
        _median(times["e2e_s"], ok.block),
    )


def _median(values: Floats, blocks: Ints) -> Estimate:
    if not np.isfinite(values).any():
        return Estimate(None)
    sample = one_per_request(values, blocks)
    return quantile_estimates(sample.values, sample.blocks, _MEDIAN, sample.owner)["p50"]
