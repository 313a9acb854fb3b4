"""Every metric of a case: its id, its unit, and which way is better.

Ids carry their unit. This is the one list; `summarise` fills it, reports and thresholds read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", ""]
Kind = Literal["per_request", "rate", "share", "count"]


@dataclass(frozen=True, slots=True)
class MetricKind:
    """What is known of a metric beforehand.

    Attributes:
        kind: `per_request` has the statistics of `LATENCY_STATS`; `rate` has `value` and, where a
            request has one of its own, `p5` and `p50` over requests; `share` and `count` have
            `value`.
    """

    id: str
    unit: str
    kind: Kind
    better: Better = ""


QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
RATE_QUANTILES = {"p5": 0.05, "p50": 0.5}
LATENCY_STATS = ("mean", *QUANTILES, "min", "max")

BLOCK_QUANTILE_MIN = {"p50": 1, "p90": 10, "p95": 20, "p99": 100}
"""A block gives a quantile from so many requests on: fewer would only repeat its maximum."""

LATENCIES = (
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
)

METRICS: dict[str, MetricKind] = {
    m.id: m
    for m in (
        *(MetricKind(id, "s", "per_request", "lower") for id in LATENCIES),
        MetricKind("decode_tok_per_s", "tok/s", "rate", "higher"),
        MetricKind("ollama_tok_per_s", "tok/s", "rate", "higher"),
        MetricKind("prefill_tok_per_s", "tok/s", "rate", "higher"),
        MetricKind("output_tok_per_s", "tok/s", "rate", "higher"),
        MetricKind("request_per_s", "req/s", "rate", "higher"),
        MetricKind("goodput_per_s", "req/s", "rate", "higher"),
        MetricKind("goodput_share", "", "share", "higher"),
        MetricKind("error_rate", "", "share", "lower"),
        MetricKind("in_flight", "requests", "rate"),
        MetricKind("slots_observed", "slots", "count"),
        MetricKind("gpu_share", "", "share", "higher"),
        MetricKind("prompt_tokens", "tokens", "per_request"),
        MetricKind("cached_tokens", "tokens", "per_request"),
        MetricKind("output_tokens", "tokens", "per_request"),
        MetricKind("chunk_per_token", "chunks/token", "rate"),
        MetricKind("thinking_char_share", "", "rate"),
        MetricKind("early_stop_share", "", "share"),
    )
}
"""Metric id -> what is known of it beforehand, in the order of reports."""
