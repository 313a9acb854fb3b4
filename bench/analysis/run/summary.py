"""The summary of a run: the content of `summary.json`, and all that reports are made from.

Keys are stable and documented here; the metric ids are `bench.metrics.METRICS`, and
the shape of the file is in `bench.analysis.run.summary_json`. A number that the data cannot support
is absent, and `Estimate.needs` says how many requests it would take.

Failed requests (every outcome but `ok`) are in `RequestCounts` and in `error_rate`, and in no
latency, rate or token count; while they lasted they were in flight. Requests that we stopped
ourselves (`cancelled`) are in `by_outcome` only. Warm-up requests count nowhere; those that only
brought the load up or kept it up (ramp-up, settle, hold) count where they reach into the measured
window (throughput, in flight), and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.metrics import METRICS
from bench.results.run import RunWarning
from bench.stats.estimate import Estimate as Estimate
from bench.thresholds import Threshold


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

    @property
    def value(self) -> float | None:
        """The one number of the case; None where there is none."""
        return self.stats["value"].value if "value" in self.stats else None


def metric_of(id: str, n: int, stats: dict[str, Estimate] | None = None, note: str = "") -> Metric:
    """A metric of `METRICS`; one without samples says why, if only in general."""
    kind = METRICS[id]
    return Metric(id, kind.unit, n, stats or {}, note or ("" if n else kind.absent), kind.better)


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Measured requests (those of other phases are not among them).

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
            prompt_eval_s eval_s total_s queue_s unaccounted_s overhead_s prompt_tokens
            output_tokens`; the plain id for `decode_tok_per_s ollama_tok_per_s prefill_tok_per_s`
            (ratio of sums over the block's requests), `output_tok_per_s request_per_s goodput_per_s
            in_flight` (over its window) and `error_rate`.
    """

    index: int
    repetition: int
    start_s: float
    n_ok: int
    values: dict[str, float] = field(default_factory=dict)
    pair: int | None = None
    side: str | None = None
    position: int | None = None

    @property
    def number(self) -> int:
        """As people count it: from 1, in every view, message and report."""
        return self.index + 1


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Did the numbers stay the same over the case? Only a label; nothing is ever deleted.

    Attributes:
        steady: None = too little data to tell.
        message: e.g. "step of -9 % at request 21".
        metrics: ids of the metrics that did not stay the same; empty with `steady` False in
            summaries of earlier versions, where it was not known which.
    """

    steady: bool | None
    message: str = ""
    metrics: tuple[str, ...] = ()


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


class ThresholdVerdict(StrEnum):
    """Whether a threshold is met."""

    MET = "met"
    NOT_MET = "not_met"
    UNSUPPORTED = "not_supported"
    """The data cannot carry the percentile that it asks for: judged neither way (exit code 3)."""


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """One threshold on one case; a metric without samples fails.

    In summary.json `expression` is its text, and `passed` and `message` are there, too.

    Attributes:
        value: what was judged; None without samples, and where it is infinite because too many
            requests never got the thing.
        low, high: ends of its 95 % interval; None = it has no such (finite) end.
        needs: how many requests it would take, if the data cannot carry it.
        note: what the numbers alone do not say.
    """

    threshold: Threshold
    case: str
    verdict: ThresholdVerdict
    value: float | None = None
    low: float | None = None
    high: float | None = None
    needs: int | None = None
    note: str = ""

    @property
    def message(self) -> str:
        """The note and the interval."""
        ends = [self.low, self.high]
        has_interval = self.low is not None or self.high is not None
        interval = " to ".join("never" if x is None else f"{x:.4g}" for x in ends)
        unsupported = self.verdict is ThresholdVerdict.UNSUPPORTED
        note = f"not supported: {self.note}" if unsupported else self.note
        return "; ".join(filter(None, (note, f"95 % interval {interval}" if has_interval else "")))

    @property
    def passed(self) -> bool:
        """True if it is met, for certain."""
        return self.verdict is ThresholdVerdict.MET


@dataclass(frozen=True, slots=True)
class Roofline:
    """Decoding against what the memory allows. Bytes, seconds; see `bench.analysis.run.roofline`.

    Attributes:
        family: family and size of the model: files of one model share it.
        bytes_per_step: that a step of decoding must read: weights, and the cache of `sequences`.
        weight_bytes: of them the weights.
        kv_bytes_per_token: of cache for each token of context; None = not known, left out.
        context_tokens: in the cache on average.
        sequences: that a step serves on average.
        step_s: time of a step.
        bytes_per_s: read while decoding.
        reachable_bytes_per_s: by the clock under load, or measured.
        peak_bytes_per_s: by the highest clock.
        spread: relative error of the reachable one.
        place: whose memory: "CPU", "GPU", "GPU and CPU".
        source: where the bandwidth is from.
        flop_per_prompt_token: operations that a token of the prompt takes, without attention.
        prefill_flop_per_s: reached while reading prompts; None = no prefill speed.
        assumed: what was taken for granted.
    """

    family: str
    bytes_per_step: float
    weight_bytes: float
    kv_bytes_per_token: float | None
    context_tokens: float
    sequences: float
    step_s: float
    bytes_per_s: float
    reachable_bytes_per_s: float
    peak_bytes_per_s: float
    spread: float
    place: str
    source: str
    flop_per_prompt_token: float
    prefill_flop_per_s: float | None = None
    assumed: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Read / reachable; above 1 something was assumed wrong."""
        return self.bytes_per_s / self.reachable_bytes_per_s

    @property
    def reading_s(self) -> float:
        """The part of a step that reading takes at least."""
        return self.bytes_per_step / self.reachable_bytes_per_s

    @property
    def growth(self) -> float | None:
        """How many times more tokens per second batches could give: up to the prefill speed."""
        if self.prefill_flop_per_s is None or not self.flop_per_prompt_token:
            return None
        prefill = self.prefill_flop_per_s / self.flop_per_prompt_token
        return prefill * self.step_s / self.sequences


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """Everything about one case."""

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
    roofline: Roofline | None = None


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
