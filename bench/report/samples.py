"""What charts draw besides summaries: the measured requests of a case, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.analysis.run.columns import Columns, Floats
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.report.model import CaseView, Report

_DRAWN: Final = ("ttft_s", "tpot_s", "queue_s", "load_s", "prompt_eval_s", "eval_s", "overhead_s",
                 "unaccounted_s")  # fmt: skip
"""The times that the charts of runs read."""
CURVE_POINTS: Final = 80
"""At most so many points are drawn of a distribution."""


@dataclass(frozen=True, slots=True)
class CaseSample:
    """The measured requests of one case that ended well.

    Attributes:
        columns: one row a request.
        times: of metrics asked for, one value a row, seconds; NaN where a request has none.
    """

    case: CaseView
    columns: Columns
    times: dict[str, Floats]

    def present(self, metric_id: str) -> Floats:
        """The values of a metric that are there, sorted."""
        values = self.times[metric_id]
        return np.sort(values[np.isfinite(values)])


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of a report: made once, read by several charts."""

    report: Report
    cases: tuple[CaseSample, ...]


def samples_of(report: Report, metrics: Sequence[str] = _DRAWN) -> Samples:
    """The samples of every case of a report, with the times that are asked for."""
    made: dict[str, CaseSample] = {}
    for index, view in enumerate(report.runs):
        cases = [c for c in report.cases if c.run == index]
        ids = [c.summary.id for c in cases]
        columns = columns_of(view.run.records, ids)
        kept = columns.measured & columns.ok
        for case in cases:
            own = kept & (columns.case == ids.index(case.summary.id))
            # A selection keeps what was read of it: the charts read less than latencies do.
            every = latencies(columns.select(own))
            times = {name: every[name] for name in metrics}
            made[case.key] = CaseSample(case, columns.select(own), times)
    return Samples(report, tuple(made[c.key] for c in report.cases))


def curve(ordered: Floats, points: int = CURVE_POINTS) -> tuple[Floats, Floats]:
    """An empirical distribution thinned for drawing: values and shares of requests at or below.

    Thinned evenly in rank; the smallest and the largest value always stay.
    """
    n = len(ordered)
    ranks = np.arange(n) if n <= points else np.linspace(0, n - 1, points).round().astype(int)
    return ordered[ranks], (ranks + 1) / n
