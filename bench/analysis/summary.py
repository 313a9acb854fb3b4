"""The summary of a run: the content of `summary.json`, and all that reports are made from.

Keys are stable and documented here; the metric ids are `bench.analysis.metrics.METRICS`, and the
shape of the file is in `bench.analysis.summary_json`. A number that the data cannot support is
absent, and `Estimate.needs` says how many requests it would take.

Failed requests (every outcome but `ok`) are in `RequestCounts` and in `error_rate`, and in no
latency, rate or token count; while they lasted they were in flight. Requests that we stopped
ourselves (`cancelled`) are in `by_outcome` only. Warm-up requests count nowhere; ramp-up
requests only where they reach into the measured window (throughput, in flight).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.results.run import RunWarning


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: the point estimate; None when the data cannot support one.
        low, high: ends of the 95 % interval; None when it has no such end.
        needs: how many requests (or blocks) it would take, when value or an end is None.
        method: how the interval was made, e.g. "order statistics", "Woodruff, 3 blocks".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    needs: int | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one case.

    A latency or token count has the statistics `mean p50 p90 p95 p99 min max`; a rate, share or
    count of the case has `value`, and token rates `p5 p50` over the requests beside it. Every id of
    `METRICS` is there; one without samples has n = 0, no statistics, and a note that says why.

    Attributes:
        n: how many requests (or gaps, or blocks) it rests on.
        stats: name of the statistic -> estimate.
        note: why it is absent, or what to keep in mind.
    """

    id: str
    unit: str
    n: int
    stats: dict[str, Estimate] = field(default_factory=dict)
    note: str = ""
    better: str = ""
    """"higher", "lower" or "" (neither)."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Measured requests (ramp-up and warm-up are not among them).

    Attributes:
        ok: ended well.
        failed: ended otherwise, other than by our own hand (`cancelled`).
        by_outcome: all of them, cancelled ones too; outcome -> how many.
        by_done_reason: of those that ended well; absent reasons are left out.
        dropped: open loop: arrivals that were never sent.
    """

    ok: int
    failed: int
    by_outcome: dict[str, int] = field(default_factory=dict)
    by_done_reason: dict[str, int] = field(default_factory=dict)
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """Point values of one block, for drift charts and comparisons.

    Attributes:
        values: flat metric id -> value of this block; an absent key means no samples.
            `<id>.mean`, `<id>.p50` and, from 10, 20 and 100 samples on, `<id>.p90`, `<id>.p95` and
            `<id>.p99` for the ids `ttft_s answer_ttft_s itl_s tpot_s e2e_s send_delay_s load_s
            prompt_eval_s eval_s total_s queue_s overhead_s prompt_tokens output_tokens`; the plain
            id for `decode_tok_per_s ollama_tok_per_s prefill_tok_per_s` (ratio of sums over the
            block's requests), `output_tok_per_s request_per_s goodput_per_s in_flight` (over its
            window) and `error_rate`.
    """

    index: int
    repetition: int
    start_s: float
    n_ok: int
    values: dict[str, float] = field(default_factory=dict)
    pair: int | None = None
    side: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Did the numbers stay the same over the case? Only a label; nothing is ever deleted.

    Attributes:
        steady: None = too little data to tell.
        message: e.g. "step of -9 % at request 21".
    """

    steady: bool | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a result is a result of. Results that differ here are not silently compared."""

    server_version: str = ""
    era: str = ""
    engine: str = ""
    model: str = ""
    digest: str = ""
    quantization: str = ""
    served_context: int | None = None
    gpu_share: float | None = None
    slots_observed: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    prompts_sha256: str = ""
    mean_output_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """One threshold on one case; a metric without samples fails."""

    expression: str
    case: str
    passed: bool
    value: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """All that is said of one case."""

    id: str
    axes: dict[str, str]
    model: str
    target: str
    endpoint: str
    load: dict[str, Any]
    options: dict[str, Any]
    requests: RequestCounts
    metrics: dict[str, Metric]
    identity: Identity
    blocks: tuple[BlockSummary, ...] = ()
    steadiness: Steadiness = field(default_factory=lambda: Steadiness(None))
    window_s: float = 0.0
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """The content of `summary.json`."""

    run_id: str
    name: str
    status: str
    simulated: bool
    valid: bool
    scenario: dict[str, Any]
    cases: tuple[CaseSummary, ...]
    warnings: tuple[RunWarning, ...] = ()
    thresholds: tuple[ThresholdResult, ...] = ()
    tool_version: str = ""
    created_at: str = ""
    schema: int = 1
