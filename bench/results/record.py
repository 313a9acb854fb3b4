"""What is kept of one request: one line of `requests.jsonl`.

Client times are integer nanoseconds on one monotonic clock, counted from the start of the run.
Server durations and counts are kept verbatim; **absent is None, and is not zero**.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

import msgspec

from bench.hidden import scrub, scrub_all, without_known
from bench.wire.exchange import Outcome, ServerTimings

FLAGS = ("fresh", "last_of_turn", "last_of_session", "control")
CHECKS = ("json", "schema", "tool_call")


class Phase(StrEnum):
    """What a request was sent for; only `measure` is counted, and phases are never mixed.

    Warm-up requests have ended before the load begins. Ramp-up (closed loop) and settle (open loop)
    requests bring the load up before measuring; hold requests keep it up, while measured ones are
    still in flight, so that these do not end on an emptying server.
    """

    WARMUP = "warmup"
    RAMP_UP = "ramp_up"
    SETTLE = "settle"
    MEASURE = "measure"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One HTTP exchange.

    Attributes:
        case, block, index: which case; which block and which request of it, both counted from 0
            (views and reports say "block 1" of block 0).
        user: which closed-loop user sent it; None in an open loop.
        planned_ns: open loop: when it was due; None in a closed loop.
        sent_ns: right before the request was handed to the socket; None if it never was.
        connect_ns: how long opening the connection took, if it was opened for this request.
        headers_ns: arrival of the response head.
        first_chunk_ns: arrival of the first body line (any).
        first_thinking_ns, first_answer_ns: arrival of the first line with non-empty thinking or
            answer text. None for non-streaming replies, and where there was none.
        last_text_ns: arrival of the last line with non-empty text of either kind.
        end_ns: last byte, or the moment the request failed.
        chunk_gaps_ns: arrival of every body line: the first as offset from `sent_ns`, each further
            one as the gap since the one before. Empty for non-streaming replies.
        text_chunks: how many lines carried text.
        coalesced: lines that shared a read with another, so share its stamp.
        user_stamps: reads whose stamp came from user space though the kernel was asked.
        answered_by: the model that the reply names; several, joined by ", ", if its lines differ.
        other_fields: what the done line holds besides what is read of it, as it came (bounded);
            also a counter that is no whole number.
        prompt_sha256, output_sha256: identity of what was sent, without its nonce, and of what was
            got (first 16 hex digits).
        target_input_tokens, num_predict: what was planned.
        answer_chars, thinking_chars: length of the output, in characters.
        seed: sampling seed sent.
        nonce: the cache-busting text, "" if none.
        text, thinking: the output, only if asked for.
        odd: fields of the reply whose values could not be read, so are missing here; "done" where
            its end was not marked as it should be.
        session: whose request it is; None if it stands alone. So are turn, step, thread, gap_ns.
        turn: which message of the user it helps to answer, from 0.
        step: what it was sent for, see `bench.scenario.sessions.StepKind`.
        thread: whose history it continues, "" = the session's main one.
        fresh: its thread's history starts anew with it.
        last_of_turn, last_of_session: its answer ends the turn, and the session.
        control: it is the same as the request before it, without what that one has: pictures, or a
            format.
        gap_ns: the pause before it that the workload asks for: a person's, or a tool's.
        part: which part of a mix it belongs to, "" = there is no mix.
        inputs: texts of an embedding request.
        images: pictures that are new in it.
        image_pixels: of these, together.
        tool_calls: calls of tools in its answer.
        valid: what the checks of the answer found, by their names.
    """

    case: str
    block: int
    index: int
    phase: Phase
    outcome: Outcome
    model: str
    stream: bool
    user: int | None = None
    pair: int | None = None
    side: str | None = None
    position: int | None = None
    planned_ns: int | None = None
    sent_ns: int | None = None
    connect_ns: int | None = None
    headers_ns: int | None = None
    first_chunk_ns: int | None = None
    first_thinking_ns: int | None = None
    first_answer_ns: int | None = None
    last_text_ns: int | None = None
    end_ns: int | None = None
    chunk_gaps_ns: list[int] = field(default_factory=list)
    chunks: int = 0
    text_chunks: int = 0
    coalesced: int = 0
    user_stamps: int = 0
    status: int | None = None
    error: str = ""
    done_reason: str | None = None
    server: ServerTimings = field(default_factory=ServerTimings)
    created_at_first: str = ""
    created_at_last: str = ""
    remote_model: str = ""
    answered_by: str = ""
    other_fields: dict[str, Any] = field(default_factory=dict)
    prompt_sha256: str = ""
    output_sha256: str = ""
    target_input_tokens: int | None = None
    num_predict: int | None = None
    answer_chars: int = 0
    thinking_chars: int = 0
    seed: int | None = None
    nonce: str = ""
    text: str | None = None
    thinking: str | None = None
    worker: int = 0
    odd: tuple[str, ...] = ()
    session: str | None = None
    turn: int | None = None
    step: str | None = None
    thread: str | None = None
    fresh: bool = False
    last_of_turn: bool = False
    last_of_session: bool = False
    control: bool = False
    gap_ns: int | None = None
    part: str = ""
    inputs: int | None = None
    images: int | None = None
    image_pixels: int | None = None
    tool_calls: int | None = None
    valid: dict[str, bool] = field(default_factory=dict)

    @property
    def flags(self) -> int:
        """What is true of it, as bits: `FLAGS`, then two a check of `CHECKS`: made, and right."""
        bits = (  # by name: a large run asks a million times
            self.fresh | self.last_of_turn << 1 | self.last_of_session << 2 | self.control << 3
        )
        for check, right in self.valid.items():
            if check in CHECKS:
                place = len(FLAGS) + 2 * CHECKS.index(check)
                bits |= 1 << place | bool(right) << place + 1
        return bits


_ANSWERS = ("text", "thinking", "done_reason", "answered_by", "created_at_first", "created_at_last")


def scrubbed(record: RequestRecord) -> RequestRecord:
    """The same without secrets in what the server said; of its answers, only known ones go."""
    said: dict[str, Any] = {
        "error": scrub(record.error),
        "remote_model": scrub(record.remote_model),
        "other_fields": {without_known(k): scrub_all(v) for k, v in record.other_fields.items()},
        **{name: (v := getattr(record, name)) and without_known(v) for name in _ANSWERS},
    }
    changed = {k: v for k, v in said.items() if v != getattr(record, k)}
    return replace(record, **changed) if changed else record


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RequestRecord)


def encode_record(record: RequestRecord) -> bytes:
    """One JSON line, with its newline."""
    return _encoder.encode(record) + b"\n"


def decode_record(line: bytes) -> RequestRecord:
    """The record on one line. Unknown keys (of a later version) are ignored.

    Raises:
        ValueError: the line is not a record (torn by a kill, say), or holds numbers that no clock
            and no counter gives.
    """
    record = decode_unbounded(line)
    if _LONG_NUMBER.search(line) and not is_bounded(record):
        raise ValueError("a number without bounds")
    return record


def decode_unbounded(line: bytes) -> RequestRecord:
    """The record on one line, whose numbers the caller looks at.

    Raises:
        ValueError: the line is not a record.
    """
    try:
        return _decoder.decode(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode_lines(lines: Sequence[bytes]) -> tuple[list[RequestRecord], list[int]]:
    """The records of some lines, as of `decode_unbounded`, and the places of lines that are none.

    Lines that are all fine take half the time that they would one by one.
    """
    try:
        return list(map(_decoder.decode, lines)), []
    except (ValueError, RecursionError):
        records, bad = [], []
        for place, line in enumerate(lines):
            try:
                records.append(decode_unbounded(line))
            except ValueError:
                bad.append(place)
        return records, bad


_LONG_NUMBER = re.compile(rb"\d{19}")
BOUND = 2**62
"""Differences of two such numbers are still whole numbers of 64 bits, which arrays hold."""


def is_bounded(record: RequestRecord) -> bool:
    """Whether arrays of 64 bits hold all of its numbers."""
    numbers = [v for f in fields(record) if isinstance(v := getattr(record, f.name), int)]
    numbers += [v for f in fields(record.server) if (v := getattr(record.server, f.name))]
    return all(abs(number) < BOUND for number in (*numbers, *record.chunk_gaps_ns))
