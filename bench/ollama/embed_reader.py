"""What /api/embed answers: one JSON object with a vector for each text, and few counters."""

from __future__ import annotations

from array import array
from functools import partial
from typing import Any

import msgspec

from bench.ollama.error_bodies import body_error, error_value_text
from bench.ollama.reply_lines import UNREADABLE, excerpt, whole
from bench.wire.exchange import Call, Outcome, Reply, ServerTimings, Trouble


class _Answer(msgspec.Struct, gc=False):
    model: Any = None
    embeddings: list[msgspec.Raw] | None = None
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


class EmbedLines:
    """Fills one `Reply`; see `bench.wire.exchange.ReplyLines`. It is never streamed."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    size = 0
    takes_many = False

    def many(self, block: bytes, stamps: array[int]) -> bool:
        """No stream."""
        return False

    def line(self, data: bytes, stamp: int) -> Trouble | None:
        """No stream."""
        return Trouble(Outcome.MALFORMED, f"a line of a stream from /api/embed: {excerpt(data)}")

    def whole(self, data: bytes) -> Trouble | None:
        """The answer."""
        reply = self._reply
        try:
            answer = _decode(data)
        except UNREADABLE as error:
            why = f"not what Ollama sends: {error}: {excerpt(data)}"
            return Trouble(Outcome.MALFORMED, why)
        if answer.error:
            return Trouble(Outcome.STREAM_ERROR, error_value_text(answer.error))
        if answer.embeddings is None:
            return Trouble(Outcome.MALFORMED, f"no embeddings: {excerpt(data)}")
        reply.answers(answer.model)
        reply.embeddings = len(answer.embeddings)
        reply.server = ServerTimings(
            total_duration=whole(answer.total_duration),
            load_duration=whole(answer.load_duration),
            prompt_eval_count=whole(answer.prompt_eval_count),
        )
        return None

    def end(self) -> Trouble | None:
        """Nothing is missing once the object is whole."""
        return None

    def http_error(self, status: int, body: bytes) -> str:
        """What the body of a failed answer says."""
        return body_error(status, body)

    def close(self, keep: bool) -> None:
        """It has no text."""


embed_call = partial(Call, dialect=EmbedLines)
"""A `Call` to /api/embed."""
