"""The summary of a run: the content of `summary.json`, and all that reports are made from.

Keys are stable and documented here. A number that the data cannot support is absent, and
`Estimate.needs` says how many requests it would take.
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

    A latency has the statistics `mean p50 p90 p95 p99 min max`; a rate of the case has `value`.

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
    """Measured requests (ramp-up and warm-up are not among them)."""

    ok: int
    failed: int
    by_outcome: dict[str, int] = field(default_factory=dict)
    by_done_reason: dict[str, int] = field(default_factory=dict)
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """Point values of one block, for drift charts and comparisons.

    Attributes:
        values: flat metric id ("decode_tok_per_s", "ttft_s.p50") -> value of this block.
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
