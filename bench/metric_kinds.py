"""What is known of a metric beforehand, and short ways to say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Better = Literal["higher", "lower", ""]
Kind = Literal["time", "tokens", "token_rate", "rate", "share", "count"]
Clock = Literal["client", "server", "both", ""]
Missing = Literal["", "failed", "never"]

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
RATE_QUANTILES: Final = {"p5": 0.05, "p50": 0.5}
DISTRIBUTION: Final = ("mean", *QUANTILES, "min", "max")
"""Statistics of a metric that every request has by itself."""

MIN_OUTPUT_TOKENS: Final = 16
"""Answers of fewer tokens have no decode speed."""

BLOCK_QUANTILE_MIN: Final = {"p50": 1, "p90": 10, "p95": 20, "p99": 100}
"""A block gives a quantile from so many requests on: fewer would only repeat its maximum."""


@dataclass(frozen=True, slots=True)
class MetricKind:
    """What is known of a metric beforehand.

    Attributes:
        label: in tables and axes.
        unit: of its stored numbers; "" for a share or a plain ratio.
        kind: `time` and `tokens` are distributions over requests; `token_rate` is a ratio of sums
            over a case and a distribution over its requests; `rate`, `share` and `count` are one
            number a case.
        clock: whose clock it rests on: the client's, the server's, both, or none.
        meaning: one sentence.
        formula: how it is computed.
        caution: what it must not be taken for.
        absent: why a case may have none of it.
        missing: which requests without it a threshold counts as infinitely late. "": none;
            "failed": those that failed; "never": those that ended well without it, too.
        streamed: only a streamed reply has it.
        quality: it says of a single request how good it was, so that goodput can ask for it.
        signed: it can be below 0.
        per_block: each block has a value of its own.
    """

    id: str
    label: str
    kind: Kind
    meaning: str
    formula: str = ""
    caution: str = ""
    unit: str = ""
    better: Better = ""
    clock: Clock = ""
    absent: str = "no samples"
    missing: Missing = ""
    streamed: bool = False
    quality: bool = False
    signed: bool = False
    per_block: bool = True

    @property
    def statistics(self) -> tuple[str, ...]:
        """What can be asked for; "" is the one number of the case."""
        if self.kind in ("time", "tokens"):
            return DISTRIBUTION
        return ("", *RATE_QUANTILES) if self.kind == "token_rate" else ("",)

    @property
    def compared(self) -> tuple[str, ...]:
        """The statistics that every block has and of which one side is better.

        A comparison can rest on these.
        """
        if not self.better or not self.per_block:
            return ()
        return ("mean", *BLOCK_QUANTILE_MIN) if self.kind == "time" else ("",)

    @property
    def shown_unit(self) -> str:
        """The unit that reports scale: shares are shown in percent."""
        return "share" if self.kind == "share" else self.unit


NO_LIMIT = "no threshold on a per-request metric"
NO_SESSIONS = "these requests stand alone: they are not sessions"
NOT_CHECKED = "the scenario does not check it"
NO_CACHED = "this server does not say how many prompt tokens came from its cache"


def time_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A time that each request takes; by the client's clock unless said otherwise."""
    usual = {"unit": "s", "better": "lower", "missing": "failed", "quality": True}
    return MetricKind(id, label, "time", *words, **{**usual, "clock": "client", **more})


def server_kind(id: str, label: str, *words: Any) -> MetricKind:
    """A time of each request by the server's own account."""
    return time_kind(id, label, *words, clock="server")


def speed_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """Tokens per second of the server's own time."""
    usual = {"unit": "tok/s", "better": "higher", "clock": "server"}
    return MetricKind(id, label, "token_rate", *words, **{**usual, **more})


def window_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A number of a case, over its measured windows."""
    return MetricKind(id, label, "rate", *words, **{"better": "higher", "clock": "client", **more})


def energy_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A number of a case from the energy of the server's machine."""
    usual = {"better": "lower", "absent": "no energy of the server's machine could be read"}
    return MetricKind(id, label, "rate", *words, **{**usual, **more})


def tokens_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A number of tokens that each request has."""
    return MetricKind(id, label, "tokens", *words, **{"unit": "tokens", **more})


def share_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A part of a whole, of a case."""
    return MetricKind(id, label, "share", *words, **{"better": "higher", **more})


def turn_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A time of sessions; it has no value for most requests, so it judges none."""
    usual = {"missing": "", "quality": False, "absent": NO_SESSIONS}
    return time_kind(id, label, *words, **{**usual, **more})


def count_kind(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
    """A number of a case that its blocks do not have."""
    return MetricKind(id, label, "count", *words, **{"per_block": False, **more})
