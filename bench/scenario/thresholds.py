"""Thresholds: what must hold for a run to be good enough.

threshold = metric [ "." statistic ] operator value
metric    = an id of design.md's table, e.g. ttft_s, decode_tok_per_s, error_rate
statistic = mean | p50 | p90 | p95 | p99 | min | max      (latencies have one, rates have none)
operator  = "<=" | "<" | ">=" | ">"
value     = number | number "%" | duration such as 800ms  (durations for metrics in seconds)
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import Literal

from bench.scenario.durations import duration_s

Operator = Literal["<=", "<", ">=", ">"]

_QUANTILES = ("mean", "p50", "p90", "p95", "p99", "min", "max")
_RATE_QUANTILES = ("", "p5", "p50")

METRICS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "ttft_s",
            "answer_ttft_s",
            "itl_s",
            "tpot_s",
            "e2e_s",
            "send_delay_s",
            "load_s",
            "prompt_eval_s",
            "eval_s",
            "total_s",
            "queue_s",
            "overhead_s",
            "prompt_tokens",
            "cached_tokens",
            "output_tokens",
        ),
        _QUANTILES,
    ),
    **dict.fromkeys(("decode_tok_per_s", "ollama_tok_per_s", "prefill_tok_per_s"), _RATE_QUANTILES),
    **dict.fromkeys(
        (
            "output_tok_per_s",
            "request_per_s",
            "goodput_per_s",
            "goodput_share",
            "error_rate",
            "in_flight",
            "slots_observed",
            "gpu_share",
            "chunk_per_token",
            "thinking_char_share",
            "early_stop_share",
        ),
        ("",),
    ),
}
"""Metric id -> the statistics it can be asked for; "" is the one value of the case."""


STREAMED = frozenset({"ttft_s", "answer_ttft_s", "itl_s", "tpot_s", "chunk_per_token"})
"""Metrics that a reply in one piece does not have."""


@dataclass(frozen=True, slots=True)
class MetricRef:
    """A metric, and which statistic of it; the statistic is "" for the value of the case."""

    metric: str
    statistic: str = ""

    def __str__(self) -> str:
        """As it is written in a scenario."""
        return f"{self.metric}.{self.statistic}" if self.statistic else self.metric


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold: `metric.statistic op value`, the value in the unit of the metric's id."""

    metric: str
    statistic: str
    op: Operator
    value: float
    text: str

    def holds(self, actual: float) -> bool:
        """Whether a value passes."""
        match self.op:
            case "<=":
                return actual <= self.value
            case "<":
                return actual < self.value
            case ">=":
                return actual >= self.value
            case ">":
                return actual > self.value


_EXPRESSION = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>|==|=|!=)\s*(\S+)\s*$")


def parse_metric(text: str) -> MetricRef:
    """Reads `ttft_s.p95` or `decode_tok_per_s`.

    Raises:
        ValueError: no such metric or statistic; the message names the nearest.
    """
    metric, _, statistic = text.strip().partition(".")
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}{_nearest(metric, tuple(METRICS))}")
    statistics = METRICS[metric]
    if statistic in statistics:
        return MetricRef(metric, statistic)
    if not statistic:
        raise ValueError(f"say which statistic of {metric}, e.g. {metric}.p95")
    if statistics == ("",):
        raise ValueError(f"{metric} has one value per case: write it without .{statistic}")
    listed = ", ".join(s for s in statistics if s)
    raise ValueError(f"{metric} has no statistic {statistic!r}: give one of {listed}")


def parse_threshold(text: str) -> Threshold:
    """Reads one threshold, e.g. `ttft_s.p95 <= 2`.

    Raises:
        ValueError: not a threshold; the message says what would be.
    """
    match = _EXPRESSION.match(text)
    if match is None:
        raise ValueError("must be METRIC OPERATOR VALUE, e.g. ttft_s.p95 <= 2")
    left, op, right = match.groups()
    if op not in ("<=", "<", ">=", ">"):
        raise ValueError(f"{op} cannot be used: give one of <=, <, >=, >")
    ref = parse_metric(left)
    value = _value(right, ref.metric)
    return Threshold(ref.metric, ref.statistic, op, value, text.strip())  # type: ignore[arg-type]


def _value(text: str, metric: str) -> float:
    try:
        if text.endswith("%"):
            return _finite(text[:-1]) / 100
        if metric.endswith("_s") and text[-1].isalpha():
            return duration_s(text)
        return _finite(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f": give one of {', '.join(names)}"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
