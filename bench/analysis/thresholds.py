"""Thresholds, judged on a case.

The point estimate decides, and the message shows the interval. A percentile that the data cannot
bound is still judged, on the sample's own percentile, and the message says what it would take to
know it. A metric without samples fails.
"""

from __future__ import annotations

import numpy as np

from bench.analysis.case_data import CaseData
from bench.analysis.metrics import QUANTILES
from bench.analysis.summary import Estimate, Metric, ThresholdResult
from bench.scenario.thresholds import Threshold


def judge(threshold: Threshold, data: CaseData, metrics: dict[str, Metric]) -> ThresholdResult:
    """One threshold on one case."""
    metric = metrics[threshold.metric]
    estimate = metric.stats.get(threshold.statistic or "value")
    value = estimate.value if estimate is not None else None
    if value is None and metric.n and threshold.statistic in QUANTILES:
        value = _sample_quantile(threshold, data)
    if value is None:
        return ThresholdResult(
            threshold.text, data.case.id, False, None, f"no samples: {metric.note}"
        )
    return ThresholdResult(
        threshold.text, data.case.id, threshold.holds(value), value, _message(estimate, metric.n)
    )


def _sample_quantile(threshold: Threshold, data: CaseData) -> float | None:
    values = data.gaps.seconds if threshold.metric == "itl_s" else data.times.get(threshold.metric)
    if values is None:
        return None
    values = values[~np.isnan(values)]
    return float(np.quantile(values, QUANTILES[threshold.statistic])) if len(values) else None


def _message(estimate: Estimate | None, n: int) -> str:
    if estimate is None:
        return ""
    if estimate.low is not None and estimate.high is not None:
        return f"95 % interval {estimate.low:.4g} to {estimate.high:.4g}"
    if estimate.value is None:
        return f"of these {n} samples alone: its interval has no end below {estimate.needs}"
    return f"no interval: {estimate.method}"
