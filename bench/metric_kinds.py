"""What is known of a metric beforehand, and short ways to say it."""

from __future__ import annotations

from collections.abc import Callable
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
NO_ENERGY = "no energy of the server's machine could be read"
NOT_CHECKED = "the scenario does not check it"
NO_CACHED = "this server does not say how many prompt tokens came from its cache"


def _kind(kind: Kind, **usual: Any) -> Callable[..., MetricKind]:
    """A short way to write metrics that have so much in common."""

    def make(id: str, label: str, *words: Any, **more: Any) -> MetricKind:
        return MetricKind(id, label, kind, *words, **{**usual, **more})

    return make


_TIME: Final = {"unit": "s", "better": "lower", "missing": "failed", "quality": True}
time_kind = _kind("time", **_TIME, clock="client")
"""A time that each request takes; by the client's clock unless said otherwise."""
server_kind = _kind("time", **_TIME, clock="server")
"""A time of each request by the server's own account."""
turn_kind = _kind("time", unit="s", better="lower", clock="client", absent=NO_SESSIONS)
"""A time of sessions; it has no value for most requests, so it judges none."""
tokens_kind = _kind("tokens", unit="tokens")
"""A number of tokens that each request has."""
speed_kind = _kind("token_rate", unit="tok/s", better="higher", clock="server")
"""Tokens per second of the server's own time."""
window_kind = _kind("rate", better="higher", clock="client")
"""A number of a case, over its measured windows."""
energy_kind = _kind("rate", better="lower", absent=NO_ENERGY)
"""A number of a case from the energy of the server's machine."""
share_kind = _kind("share", better="higher")
"""A part of a whole, of a case."""
count_kind = _kind("count", per_block=False)
"""A number of a case that its blocks do not have."""
