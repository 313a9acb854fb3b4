"""What /api/embed answers: one JSON object with a vector for each text, and few counters."""

from __future__ import annotations

from functools import partial

import msgspec

from bench.ollama.error_bodies import body_error
from bench.ollama.reply_lines import UNREADABLE, DoneLine, excerpt
from bench.wire.exchange import Call, Outcome, Reply, ReplyLines, Trouble

VECTOR_BYTES = 128 * 1024
"""Room for one vector in JSON: 8,192 numbers of 16 characters."""


class _Answer(DoneLine, gc=False):
    embeddings: list[msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class EmbedLines(ReplyLines):
    """Fills one `Reply`. It is never streamed, and has no text."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

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
        if failure := answer.failure():
            return Trouble(Outcome.STREAM_ERROR, failure)
        if answer.embeddings is None:
            return Trouble(Outcome.MALFORMED, f"no embeddings: {excerpt(data)}")
        reply.answers(answer.model)
        reply.embeddings = len(answer.embeddings)
        reply.server, lost = answer.timings()
        reply.odd += tuple(lost)
        return None

    def http_error(self, status: int, body: bytes) -> str:
        """What the body of a failed answer says."""
        return body_error(status, body)


embed_call = partial(Call, dialect=EmbedLines)
"""A `Call` to /api/embed."""
