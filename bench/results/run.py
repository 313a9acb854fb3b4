"""What is known of a run besides its requests: the content of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.ollama.weights import WeightReads
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Plan

SCHEMA = 1
"""Version of run.json, requests.jsonl and summary.json. History: 1 = first."""


class RunStatus(StrEnum):
    """How a run stands. A run that was killed still says `running`: readers call it incomplete."""

    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Something the reader must know, and what to do about it.

    Attributes:
        code: stable, e.g. "gpu_spill"; see `ollama-bench help warnings`.
        invalidates: True if it means that the run's numbers must not be trusted (exit code 5).
        case: id of the case it concerns; "" = the whole run.
    """

    code: WarningCode
    message: str
    advice: str = ""
    case: str = ""
    invalidates: bool = False


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """A server as it was found.

    Attributes:
        version: as `/api/version` says.
        era: name of the era (`bench.ollama.eras`) the version belongs to.
        engine: "ollama", or the embedded engine: "llama.cpp" or "simulated".
        simulated: True when the numbers are made up by the simulated engine.
        same_host: client and server on the same machine; None = unknown.
        settings: what is known of its environment (managed servers), e.g. OLLAMA_NUM_PARALLEL.
    """

    name: str
    url: str
    version: str
    era: str
    engine: str = "ollama"
    simulated: bool = False
    same_host: bool | None = None
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model on a target, from `/api/tags` and `/api/show`.

    Attributes:
        context_limit: the context length that the model was trained for; None = not said.
        size_bytes: of the weights on disk.
        weights: what decoding reads of the weights; None = not known.
    """

    target: str
    name: str
    digest: str = ""
    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    size_bytes: int | None = None
    context_limit: int | None = None
    capabilities: tuple[str, ...] = ()
    model_info: dict[str, Any] = field(default_factory=dict)
    weights: WeightReads | None = None


@dataclass(frozen=True, slots=True)
class Residency:
    """What `/api/ps` said of the model of a block.

    Attributes:
        served_context: `context_length`, per slot.
        others: names of other models in memory at that time.
    """

    loaded: bool
    digest: str = ""
    size_bytes: int | None = None
    vram_bytes: int | None = None
    served_context: int | None = None
    expires_at: str = ""
    others: tuple[str, ...] = ()

    @property
    def gpu_share(self) -> float | None:
        """size_vram / size; None when unknown (size 0 or absent, or more VRAM than size)."""
        if not self.size_bytes or self.vram_bytes is None or self.vram_bytes > self.size_bytes:
            return None
        return self.vram_bytes / self.size_bytes


@dataclass(frozen=True, slots=True)
class ClientHealth:
    """How the client itself did during a block's measured phase: could it have bent a number?

    All lags in milliseconds. None = not measured.
    """

    loop_lag_p99_ms: float | None = None
    loop_lag_max_ms: float | None = None
    loop_lag_mean_ms: float | None = None
    send_late_p99_ms: float | None = None
    """How late requests were sent: after their planned time, or after their user was ready."""
    send_late_mean_ms: float | None = None
    cpu_share: float | None = None
    """CPU time of this process / wall time, 1.0 = one core full."""
    stalled_s: float = 0.0
    """Time for which this program stood still, in stretches of 0.5 s and more, before the last
    measured request ended. Of several processes, that of the worst."""
    idle_s: float = 0.0
    """Closed loop: time for which users who were ready to ask did not, 0.5 s and more at once, over
    all users."""
    gc_collections: int = 0
    gc_pause_max_ms: float | None = None
    """The longest stop for collecting garbage; None = there was none."""
    reads: int = 0
    coalesced_lines: int = 0
    user_stamps: int = 0
    rss_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SenderClock:
    """How the clock of a sender on another machine stood to that of the run, at a block's end.

    Attributes:
        offset_ns: the sender's monotonic clock less the run's.
        drift_ppm: by how much it gains; the times of the records are corrected for both.
        error_ns: the most that a corrected time can be wrong by.
        rtt_ns, rtt_p50_ns: shortest and median round trip between the sender and the run's machine.
        drift_error_ppm: the most that the drift can be wrong by if it is steady; None = not known.
    """

    offset_ns: int
    drift_ppm: float
    error_ns: int
    rtt_ns: int
    rtt_p50_ns: int
    drift_error_ppm: float | None = None


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """One of the processes that sent a block.

    Attributes:
        number: as the `worker` of its records.
        name: of its machine; "" = the run's own.
        server_rtt_ns: shortest time to open a connection to the server; None = not measured.
        transport: name of the one that it used; "" = not known.
        complete: False if it stopped early, or was lost.
    """

    number: int
    name: str = ""
    health: ClientHealth = field(default_factory=ClientHealth)
    clock: SenderClock | None = None
    server_rtt_ns: int | None = None
    transport: str = ""
    complete: bool = True


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """How one block went.

    Attributes:
        index: of the block in the plan.
        start_ns, end_ns: of the whole block, load and warm-up included.
        window_start_ns, window_end_ns: the measured window: a duration that was used up, whole;
            else from the first measured request's (planned) send to the end of the last one.
        load_ns: how long getting the model ready took, on the client's clock; None if it was
            resident.
        dropped: open loop: arrivals not sent because the in-flight ceiling was reached.
        steady: False when something happened inside that a reader must know (see `notes`).
        records: how many lines of requests.jsonl are of it, all phases; None = not counted (runs
            of earlier versions).
        server_version: as `/api/version` said after the block; "" = not known.
        utilisation: samples of the server's machine during the block, by name:
            [[t_ns, value], ...]; `_share` is 0 to 1, `_energy_j` joules since the first reading.
        senders: the processes that sent it, if there were several or they ran elsewhere.
    """

    index: int
    case: str
    start_ns: int
    end_ns: int
    window_start_ns: int
    window_end_ns: int
    load_ns: int | None = None
    before: Residency | None = None
    after: Residency | None = None
    planned_arrivals: int | None = None
    dropped: int = 0
    health: ClientHealth = field(default_factory=ClientHealth)
    notes: tuple[str, ...] = ()
    complete: bool = True
    utilisation: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    server_version: str = ""
    records: int | None = None
    senders: tuple[SenderInfo, ...] = ()

    @property
    def number(self) -> int:
        """As people count it: from 1, in every view, message and report."""
        return self.index + 1

    @property
    def gpu_share(self) -> float | None:
        """Of the model, when the block had ended; None = not known."""
        return self.after.gpu_share if self.after else None


@dataclass(frozen=True, slots=True)
class ClockInfo:
    """Lays the records beside any other log of the machine.

    Attributes:
        monotonic_origin_ns: CLOCK_MONOTONIC at the records' time 0.
        wall_origin: the wall time then, ISO 8601 with time zone.
    """

    monotonic_origin_ns: int
    wall_origin: str


@dataclass(frozen=True, slots=True)
class TransportInfo:
    """Which transport was used, and why that one.

    Attributes:
        workers: processes that sent.
        load_from: where they ran, as `--load-from` was given; "" = on this machine.
    """

    name: str
    reason: str = ""
    workers: int = 1
    load_from: str = ""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The content of `run.json`; written first, replaced atomically after every block."""

    id: str
    status: RunStatus
    tool_version: str
    created_at: str
    clock: ClockInfo
    plan: Plan
    targets: tuple[TargetInfo, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    blocks: tuple[BlockInfo, ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    transport: TransportInfo | None = None
    finished_at: str = ""
    tags: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def simulated(self) -> bool:
        """True if any target of the run was the simulated engine."""
        return any(t.simulated for t in self.targets)
