"""From a reply to its record: the stamps are counted from the start of the run."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any

from bench.load.supply import Prepared
from bench.results.record import Phase, RequestRecord, scrubbed
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome, Reply


@dataclass(frozen=True, slots=True)
class Sending:
    """When and why a request was sent.

    Attributes:
        planned_ns: open loop: when it was due, on the clock.
        due_ns: closed loop: when its user was ready to send it, on the clock.
    """

    index: int
    phase: Phase
    user: int | None = None
    planned_ns: int | None = None
    due_ns: int | None = None


STAMPS = (
    *("sent_ns", "headers_ns", "first_chunk_ns", "first_thinking_ns", "first_answer_ns"),
    *("last_text_ns", "end_ns"),
)
"""A reply's times: absolute in the reply, from the start of the run in its record."""
_COPIED = (
    *("connect_ns", "text_chunks", "coalesced", "user_stamps", "status", "error", "done_reason"),
    *("server", "created_at_first", "created_at_last", "remote_model", "answered_by"),
    *("other_fields", "output_sha256", "answer_chars", "thinking_chars", "odd"),
)
_stamps, _copied = attrgetter(*STAMPS), attrgetter(*_COPIED)  # this is done for every request


def make_record(
    case: Case,
    block: Block,
    prepared: Prepared,
    sending: Sending,
    reply: Reply,
    origin_ns: int,
    worker: int = 0,
) -> RequestRecord:
    """The record of one exchange.

    Times of `sending` and `reply` are absolute; `origin_ns` is the start of the run on the same
    clock.
    """
    said: dict[str, Any] = dict(zip(_COPIED, _copied(reply), strict=True))
    for name, stamp_ns in zip(STAMPS, _stamps(reply), strict=True):
        said[name] = None if stamp_ns is None else stamp_ns - origin_ns
    said |= prepared.marks
    if prepared.hear:
        said |= prepared.hear(reply)
    record = RequestRecord(
        case=case.id,
        block=block.index,
        index=sending.index,
        phase=sending.phase,
        outcome=reply.outcome or Outcome.MALFORMED,
        model=case.model,
        stream=case.stream,
        user=sending.user,
        pair=block.pair,
        side=block.side,
        position=block.position,
        planned_ns=None if sending.planned_ns is None else sending.planned_ns - origin_ns,
        chunk_gaps_ns=_gaps(reply.chunk_ns, reply.sent_ns) if case.stream else [],
        chunks=len(reply.chunk_ns),
        prompt_sha256=prepared.prompt_sha256,
        target_input_tokens=prepared.target_input_tokens,
        num_predict=prepared.num_predict,
        seed=prepared.seed,
        nonce=prepared.nonce,
        text=reply.answer if prepared.text_kept else None,
        thinking=reply.thinking if prepared.text_kept else None,
        worker=worker,
        part=case.part,
        tool_calls=reply.tool_calls if reply.tool_calls or case.tools else None,
        valid=prepared.check(reply) if prepared.check else {},
        **said,
    )
    return scrubbed(record)


def _gaps(stamps: array[int], sent_ns: int | None) -> list[int]:
    """Offsets between stamps, the first from the send."""
    if not stamps or sent_ns is None:
        return []
    return [stamps[0] - sent_ns, *(b - a for a, b in pairwise(stamps))]
