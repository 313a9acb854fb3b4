"""From a reply to its record: the stamps are counted from the start of the run."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise

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

    def since_start(stamp_ns: int | None) -> int | None:
        return None if stamp_ns is None else stamp_ns - origin_ns

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
        planned_ns=since_start(sending.planned_ns),
        sent_ns=since_start(reply.sent_ns),
        connect_ns=reply.connect_ns,
        headers_ns=since_start(reply.headers_ns),
        first_chunk_ns=since_start(reply.first_chunk_ns),
        first_thinking_ns=since_start(reply.first_thinking_ns),
        first_answer_ns=since_start(reply.first_answer_ns),
        last_text_ns=since_start(reply.last_text_ns),
        end_ns=since_start(reply.end_ns),
        chunk_gaps_ns=_gaps(reply.chunk_ns, reply.sent_ns) if case.stream else [],
        chunks=len(reply.chunk_ns),
        text_chunks=reply.text_chunks,
        coalesced=reply.coalesced,
        user_stamps=reply.user_stamps,
        status=reply.status,
        error=reply.error,
        done_reason=reply.done_reason,
        server=reply.server,
        created_at_first=reply.created_at_first,
        created_at_last=reply.created_at_last,
        remote_model=reply.remote_model,
        answered_by=reply.answered_by,
        other_fields=reply.other_fields,
        prompt_sha256=prepared.prompt_sha256,
        output_sha256=reply.output_sha256,
        target_input_tokens=prepared.target_input_tokens,
        num_predict=prepared.num_predict,
        answer_chars=reply.answer_chars,
        thinking_chars=reply.thinking_chars,
        seed=prepared.seed,
        nonce=prepared.nonce,
        text=reply.answer if prepared.text_kept else None,
        thinking=reply.thinking if prepared.text_kept else None,
        worker=worker,
        part=case.part,
        tool_calls=reply.tool_calls if reply.tool_calls or case.tools else None,
        valid=prepared.check(reply) if prepared.check else {},
        **{"odd": reply.odd, **prepared.marks, **(prepared.hear(reply) if prepared.hear else {})},
    )
    return scrubbed(record)


def _gaps(stamps: array[int], sent_ns: int | None) -> list[int]:
    """Offsets between stamps, the first from the send."""
    if not stamps or sent_ns is None:
        return []
    return [stamps[0] - sent_ns, *(b - a for a, b in pairwise(stamps))]
