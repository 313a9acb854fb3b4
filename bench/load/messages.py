"""What the run's process and its worker processes say to each other: JSON lines over pipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from bench.load.measure import MeasuredPhase
from bench.results.record import Phase, RequestRecord
from bench.scenario.corpus import TokenRates
from bench.scenario.plan import Block, Case, Plan


class Init(msgspec.Struct, frozen=True, tag=True):
    """Sent once, first.

    Attributes:
        worker: number of this worker, of `of`.
        urls: where the targets are, by name; credentials come from the environment.
        transports: name of the transport of each target.
        origin_ns: start of the run on the machine's monotonic clock.
        elsewhere: on another machine than the run's: arrivals are drawn for each sender, so that
            each one's follow the law of all, and the connection to the server is checked.
    """

    plan: Plan
    of: int
    urls: dict[str, str]
    transports: dict[str, str]
    worker: int = 0
    origin_ns: int = 0
    keep_text: bool = False
    insecure: bool = False
    ca_file: str = ""
    elsewhere: bool = False


class WarmUp(msgspec.Struct, frozen=True, tag=True):
    """Open connections and warm up for a block, which may be newer than the plan."""

    case: Case
    block: Block
    rates: TokenRates | None = None


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Measure the block that was warmed up, all workers from the same moment."""

    start_ns: int
    ramp_s: float


class StopSending(msgspec.Struct, frozen=True, tag=True):
    """One Ctrl-C; a second one ends what is in flight."""


class Release(msgspec.Struct, frozen=True, tag=True):
    """No worker has a measured request left: the load may end."""


class Departed(msgspec.Struct, frozen=True, tag=True):
    """A request is in flight."""

    phase: Phase


class Arrived(msgspec.Struct, frozen=True, tag=True):
    """A request has ended."""

    record: RequestRecord


class WarmedUp(msgspec.Struct, frozen=True, tag=True):
    """The warm-up is over; `finished` unless it was stopped.

    Attributes:
        server_rtt_ns: shortest time to open a connection to the server; None = not measured.
        transport: name of the one that is used.
    """

    finished: bool
    server_rtt_ns: int | None = None
    transport: str = ""


class NoneMeasured(msgspec.Struct, frozen=True, tag=True):
    """All measured requests of this worker have ended; its load goes on until it is released."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """The measured phase is over."""

    measured: MeasuredPhase


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot go on, and why."""

    message: str


Order: TypeAlias = Init | WarmUp | Measure | StopSending | Release
Word: TypeAlias = Departed | Arrived | WarmedUp | NoneMeasured | Done | Failed

_encoder = msgspec.json.Encoder()


def encode(message: Order | Word) -> bytes:
    """One line."""
    return _encoder.encode(message) + b"\n"


decode_order: Callable[[bytes], Order] = msgspec.json.Decoder(Order).decode
"""What a worker receives."""
decode_word: Callable[[bytes], Word] = msgspec.json.Decoder(Word).decode
"""What a worker says."""
