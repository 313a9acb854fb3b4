"""What a search for capacity found: the content of `capacity.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from bench.analysis.capacity.memory import KvBound
from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.promises import PromiseAtProbe
from bench.analysis.capacity.sweep import Sweep
from bench.thresholds import Threshold


class Bottleneck(StrEnum):
    """What stands in the way of more load."""

    SLOTS = "slots"
    """Requests wait for one of the server's slots."""
    PREFILL = "prefill"
    """Reading the prompts takes the time."""
    DECODE = "decode"
    """Writing the answers takes the time."""
    SPILL = "memory"
    """A part of the model runs on the CPU."""
    ERRORS = "errors"
    """Requests fail."""
    CLIENT = "client"
    """This program could not keep up."""
    NONE = "none"
    """Nothing: the promise held wherever it was tried."""


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """One promise at one probe.

    Attributes:
        value: the promised percentile, or the error rate; None if so many requests failed that it
            has none.
        low, high: its one-sided 97.5 % bounds; None = the data set no such bound.
        kept_share: of the settled requests in time; None for the error rate.
    """

    promise: str
    verdict: str
    value: float | None
    low: float | None
    high: float | None
    kept_share: float | None

    @classmethod
    def of(cls, kept: PromiseAtProbe) -> PromiseResult:
        """From a judgement, whose numbers may be infinite."""
        value, low, high = (
            x if math.isfinite(x) else None
            for x in (kept.bound.value, kept.bound.lower, kept.bound.upper)
        )
        return cls(kept.promise.text, str(kept.verdict), value, low, high, kept.in_time)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe of the search.

    Attributes:
        block: index of its block in the run.
        case: id of its case.
        extension: 0 for a first try; else it was judged together with the tries before it.
        requests: judged, and before them `settle` that filled the server.
        tok_per_s: output tokens per second of the window.
        goodput_per_s: requests that broke no promised time, per second of the window.
        ttft_p50_s, ttft_p95_s: of those that ended well; None without any.
        queue_mean_s: mean wait for a slot, as the server's durations say.
        service_mean_s, service_cv2: mean and squared coefficient of variation of the time in a
            slot. All three are None if no request ended well.
        modelled_wait_s: mean wait that the M/G/k queue of these slots and this service would have;
            None in a closed loop, where the slots are unknown, or where it would grow for ever.
    """

    block: int
    case: str
    load: float
    purpose: str
    extension: int
    verdict: str
    growing: bool
    requests: int
    duration_s: float
    tok_per_s: float
    goodput_per_s: float
    kept: tuple[PromiseResult, ...]
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    queue_mean_s: float | None = None
    service_mean_s: float | None = None
    service_cv2: float | None = None
    modelled_wait_s: float | None = None
    settle: int = 0


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """The answer, and how it was found.

    Attributes:
        by: "rate" (requests/s, open loop), "users" (closed loop), or "sessions" (the same, with
            users who play whole sessions).
        load: that every promise is kept at, with 97.5 % confidence; never above `low`.
        held, broke: the highest load that a probe proved kept, and the lowest proven broken.
        best: best estimate of the limit, from all probes together; None if none can be made.
        low, high: the limit lies between, with 95 % confidence; None = no such end is known.
        breaks: the promise that breaks first; "" if none did.
        limited_by: what stands in the way of more.
        slots_observed: requests worked on at once; None = not seen.
        slots_exact: True if requests waited meanwhile; False: there are so many at least.
        slots_asked: what the server was set to, if that is known.
        mean_response_s: of requests at `load`.
        budget_s: time allowed for the search; `spent_s` was used.
        sweep: what a few users got, before the search.
        memory: bound of the context's memory; None if the model does not tell its shape.
        interrupted: the user ended the search; what was not found may have been.
        invalid: why the whole run must not be trusted (the server changed meanwhile, say).
    """

    run_id: str
    model: str
    by: str
    promises: tuple[Threshold, ...]
    ending: SearchEnding
    load: float | None
    best: float | None
    low: float | None
    high: float | None
    breaks: str
    limited_by: Bottleneck
    probes: tuple[ProbeResult, ...]
    slots_observed: int | None
    slots_exact: bool
    slots_asked: int | None
    mean_response_s: float | None
    budget_s: float
    spent_s: float
    simulated: bool
    sweep: Sweep = field(default_factory=lambda: Sweep(()))
    memory: KvBound | None = None
    held: float | None = None
    broke: float | None = None
    interrupted: bool = False
    invalid: tuple[str, ...] = ()
    schema: int = 1
