"""What the run's process and its worker processes say to each other: JSON lines over pipes."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from bench.load.measure import Measured
from bench.results.record import Phase, RequestRecord
from bench.scenario.calibration import TokenRates
from bench.scenario.plan import Block, Case, Plan


class Init(msgspec.Struct, frozen=True, tag=True):
    """Sent once, first.

    Attributes:
        worker: number of this worker, of `of`.
        urls: where the targets are, by name; credentials come from the environment.
        transports: name of the transport of each target.
        origin_ns: start of the run on the machine's monotonic clock.
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


class Departed(msgspec.Struct, frozen=True, tag=True):
    """A request is in flight."""

    phase: Phase


class Arrived(msgspec.Struct, frozen=True, tag=True):
    """A request has ended."""

    record: RequestRecord


class WarmedUp(msgspec.Struct, frozen=True, tag=True):
    """The warm-up is over; `finished` unless it was stopped."""

    finished: bool


class Done(msgspec.Struct, frozen=True, tag=True):
    """The measured phase is over."""

    measured: Measured


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot go on, and why."""

    message: str


Order: TypeAlias = Init | WarmUp | Measure | StopSending
Word: TypeAlias = Departed | Arrived | WarmedUp | Done | Failed

_encoder = msgspec.json.Encoder()
_orders = msgspec.json.Decoder(Order)
_words = msgspec.json.Decoder(Word)


def encode(message: Order | Word) -> bytes:
    """One line."""
    return _encoder.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """What a worker is told."""
    order: Order = _orders.decode(line)
    return order


def decode_word(line: bytes) -> Word:
    """What a worker says."""
    word: Word = _words.decode(line)
    return word
