"""Goodput: requests that were good enough, one by one.

A threshold on a per-request metric says, request by request, what good enough is: of
`ttft_s.p95 <= 2` each request must have a `ttft_s` of at most 2. A request is good if it ended well
and meets all of them; one that lacks the metric does not meet it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bench.analysis.columns import Bools, Floats
from bench.scenario.thresholds import Threshold

PER_REQUEST = (
    "ttft_s",
    "answer_ttft_s",
    "tpot_s",
    "e2e_s",
    "load_s",
    "prompt_eval_s",
    "eval_s",
    "total_s",
    "queue_s",
    "decode_tok_per_s",
)
"""Metrics that one request has by itself, and that speak of its quality."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A limit on one metric of each request."""

    threshold: Threshold

    @property
    def metric(self) -> str:
        """Id of the metric."""
        return self.threshold.metric

    def met_by(self, values: Floats) -> Bools:
        """Which values meet it; NaN does not."""
        limit = self.threshold.value
        with np.errstate(invalid="ignore"):
            match self.threshold.op:
                case "<=":
                    return values <= limit
                case "<":
                    return values < limit
                case ">=":
                    return values >= limit
                case ">":
                    return values > limit


def requirements_of(thresholds: Iterable[Threshold]) -> tuple[Requirement, ...]:
    """The thresholds that say something of a single request."""
    return tuple(Requirement(t) for t in thresholds if t.metric in PER_REQUEST)


def meets_all(values: Mapping[str, Floats], requirements: Iterable[Requirement]) -> Bools:
    """Which rows meet every requirement; none if there are no requirements.

    Args:
        values: metric id -> one value a row, all of one length.
        requirements: limits on some of these metrics.
    """
    checks = [r.met_by(values[r.metric]) for r in requirements]
    rows = len(next(iter(values.values())))
    return np.logical_and.reduce(checks) if checks else np.zeros(rows, dtype=np.bool_)
