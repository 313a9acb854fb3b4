"""What a search for capacity found: the content of `capacity.json`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.capacity.kv_memory import KvShape
from bench.analysis.capacity.promises import Kept
from bench.analysis.capacity.search import Ending
from bench.analysis.capacity.usl import UslFit


class Limit(StrEnum):
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
class ProbeResult:
    """One probe of the search.

    Attributes:
        block: index of its block in the run.
        case: id of its case.
        requests: measured.
        goodput_per_s: requests that kept every promised time, per second of the window.
        queue_mean_s: mean wait for a slot, as the server's durations say.
        service_mean_s, service_cv2: mean and squared coefficient of variation of the time in a
            slot. All three are None if no request ended well.
        modelled_wait_s: mean wait that the M/G/k queue of these slots and this service would have;
            None in a closed loop, or where the slots are unknown.
    """

    block: int
    case: str
    load: float
    purpose: str
    verdict: str
    growing: bool
    requests: int
    duration_s: float
    goodput_per_s: float
    kept: tuple[Kept, ...]
    queue_mean_s: float | None = None
    service_mean_s: float | None = None
    service_cv2: float | None = None
    modelled_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bound of the KV cache, if the model tells its shape.

    Attributes:
        shape: of the cache.
        bytes_per_token: at 16-bit keys and values.
        used_bytes: that `/api/ps` says the model takes.
        gpu_share: of the model that is in the GPU.
    """

    shape: KvShape
    bytes_per_token: float
    used_bytes: int | None
    gpu_share: float | None


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """The answer, and how it was found.

    Attributes:
        by: "rate" (requests/s, open loop) or "users" (closed loop).
        load: the highest load that is known to keep every promise.
        best: best estimate of the limit, from all probes together; None if none can be made.
        low, high: the limit lies between, with 95 % confidence; None = no such end is known.
        breaks: the promise that breaks first; "" if none did.
        limited_by: what stands in the way of more.
        slots_observed: requests worked on at once; None = not seen.
        mean_response_s: of requests at `load`.
        budget_s: time allowed for the search; `spent_s` was used.
        usl: throughput against users up to the slots, as a model; None with too few levels.
    """

    run_id: str
    model: str
    by: str
    promises: tuple[str, ...]
    ending: Ending
    load: float | None
    best: float | None
    low: float | None
    high: float | None
    breaks: str
    limited_by: Limit
    probes: tuple[ProbeResult, ...]
    slots_observed: int | None
    mean_response_s: float | None
    budget_s: float
    spent_s: float
    simulated: bool
    memory: Memory | None = None
    usl: UslFit | None = None
    schema: int = 1
