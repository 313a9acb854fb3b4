"""What is kept of one request: one line of `requests.jsonl`.

Client times are integer nanoseconds on one monotonic clock, counted from the start of the run.
Server durations and counts are kept verbatim; **absent is None, and is not zero**.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from bench.ollama.exchange import Outcome, ServerTimings


class Phase(StrEnum):
    """Load, warm-up and measurement are never mixed. Ramp-up is sent but outside the window."""

    WARMUP = "warmup"
    RAMP_UP = "ramp_up"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One HTTP exchange.

    Attributes:
        case, block, index: which case, which block, and the how-manieth request of the block.
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
        prompt_sha256, output_sha256: identity of what was sent, without its nonce, and of what was
            got (first 16 hex digits).
        target_input_tokens, num_predict: what was planned.
        answer_chars, thinking_chars: length of the output, in characters.
        seed: sampling seed sent.
        nonce: the cache-busting text, "" if none.
        text, thinking: the output, only if asked for.
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


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RequestRecord)


def encode_record(record: RequestRecord) -> bytes:
    """One JSON line, with its newline."""
    return _encoder.encode(record) + b"\n"


def decode_record(line: bytes) -> RequestRecord:
    """The record on one line. Unknown keys (of a later version) are ignored.

    Raises:
        msgspec.DecodeError: the line is not a record (torn by a kill, say).
    """
    return _decoder.decode(line)
