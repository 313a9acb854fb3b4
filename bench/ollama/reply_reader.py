"""From the bytes of a response body to a `Reply`: lines, text, error lines, the done line.

Every transport hands its body bytes here, with the stamp of the read they came in. The stamp is
taken before anything here runs, so how long this takes bends no number.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.ollama.exchange import Call, Outcome, Reply, ServerTimings
from bench.ollama.think_tags import ThinkTags, split_think_tags

MAX_ERROR_CHARS = 1000
_MAX_ERROR_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server may send before it is taken for broken.

    Attributes:
        head_bytes: of a response's status line and headers.
        line_bytes: of one line of a stream.
        body_bytes: of a whole body, decompressed.
    """

    head_bytes: int = 256 * 1024
    line_bytes: int = 16 * 1024 * 1024
    body_bytes: int = 512 * 1024 * 1024


LIMITS = Limits()


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Line(msgspec.Struct, gc=False):
    """What is looked at in every line, of both endpoints."""

    created_at: str = ""
    message: _Message | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    done: bool = False
    error: Any = None


class _DoneLine(msgspec.Struct, gc=False):
    """What only the last line has."""

    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    remote_model: str | None = None

    def timings(self) -> ServerTimings:
        return ServerTimings(
            self.total_duration,
            self.load_duration,
            self.prompt_eval_count,
            self.prompt_eval_cached_count,
            self.prompt_eval_duration,
            self.eval_count,
            self.eval_duration,
        )


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_done = msgspec.json.Decoder(_DoneLine).decode
_decode_any = msgspec.json.Decoder().decode


class ReplyReader:
    """Fills one `Reply`. Feed it with `stamp` and `fresh` set; then `finish`.

    Attributes:
        reply: what is being filled.
        stamp: arrival of the read whose bytes are being fed, CLOCK_MONOTONIC nanoseconds.
        fresh: no line has ended in this read yet; set it at every read.
        verdict: an outcome found in the bytes, None while all is well. The first one stays.
        broken: nothing that follows can be understood: stop reading.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_body_bytes",
        "_call",
        "_done",
        "_feed_body",
        "_held_ns",
        "_inflate",
        "_limits",
        "_rest",
        "_tags",
        "_tags_open",
        "_thinking",
        "broken",
        "fresh",
        "reply",
        "stamp",
        "verdict",
    )

    def __init__(self, call: Call, limits: Limits = LIMITS) -> None:
        self.reply = Reply()
        self.stamp = 0
        self.fresh = True
        self.verdict: Outcome | None = None
        self.broken = False
        self._call = call
        self._limits = limits
        self._rest = bytearray()
        self._body: bytearray | None = None
        self._body_bytes = 0
        self._done = False
        self._tags: ThinkTags | None = ThinkTags()
        self._held_ns: int | None = None
        self._answer = bytearray()
        self._thinking = bytearray()
        self._inflate: Any = None

    # --- the head -------------------------------------------------------------------------------

    def head(self, status: int, encoding: str = "", location: str = "") -> None:
        """The response head is complete.

        Args:
            status: HTTP status, not 1xx.
            encoding: Content-Encoding, "" if none.
            location: Location of a redirect.
        """
        reply = self.reply
        reply.status = status
        reply.headers_ns = self.stamp
        if status != 200:
            self.verdict = Outcome.HTTP_ERROR
            if status in _REDIRECTS:
                reply.error = _redirect_text(status, location)
        if status != 200 or not self._call.stream:
            self._body = bytearray()
        coding = encoding.strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        elif coding not in ("", "identity"):
            self.refuse(f"the body is encoded with {coding!r}, which was not asked for")

    # --- the body -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Body bytes, without transfer coding, as they came in one read."""
        if self.broken:
            return
        if self._inflate is not None:
            self._feed_compressed(data)
        elif self._body is None:
            self._feed_stream(data)
        else:
            self._feed_whole(data)

    def _feed_compressed(self, data: bytes) -> None:
        while data and not self.broken:
            try:
                plain = self._inflate.decompress(data, 1 << 20)
            except zlib.error as e:
                self.refuse(f"the compressed body is broken: {e}")
                return
            data = self._inflate.unconsumed_tail
            if self._body is None:
                self._feed_stream(plain)
            else:
                self._feed_whole(plain)
            if self._inflate.eof:
                return

    def _feed_stream(self, data: bytes) -> None:
        end = data.find(b"\n")
        if end == len(data) - 1 and not self._rest and end > 0:
            # The usual case: one read, one whole line.
            self._body_bytes += end
            self._line(data)
            return
        self._feed_pieces(data)

    def _feed_pieces(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            self.refuse(f"the body is longer than {self._limits.body_bytes} bytes")
            return
        start = 0
        while (end := data.find(b"\n", start)) >= 0 and not self.broken:
            line = data[start:end]
            start = end + 1
            if self._rest:
                line = bytes(self._rest) + line
                self._rest.clear()
            if line and not line.isspace():
                self._line(line)
        if start < len(data):
            self._rest += data[start:]
            if len(self._rest) > self._limits.line_bytes:
                self.refuse(f"a line is longer than {self._limits.line_bytes} bytes")

    def _feed_whole(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        if self.reply.first_chunk_ns is None:
            self.reply.first_chunk_ns = self.stamp
        if self.reply.status != 200:
            body += data[: _MAX_ERROR_BYTES - len(body)]
            self._body_bytes += len(data)
            if self._body_bytes > self._limits.body_bytes:
                self.broken = True
            return
        body += data
        if len(body) > self._limits.body_bytes:
            self.refuse(f"the body is longer than {self._limits.body_bytes} bytes")

    # --- a line ---------------------------------------------------------------------------------

    def _line(self, data: bytes) -> None:
        """One whole line of a stream."""
        reply, stamp = self.reply, self.stamp
        if self.fresh:
            self.fresh = False
        else:
            reply.coalesced += 1
        reply.chunk_ns.append(stamp)
        if reply.first_chunk_ns is None:
            reply.first_chunk_ns = stamp
        line = self._decode(data)
        if line is None:
            return
        message = line.message
        if message is None:
            content, thinking, tools = line.response, line.thinking, line.tool_calls
        else:
            content, thinking, tools = message.content, message.thinking, message.tool_calls
        if thinking or content:
            reply.text_chunks += 1
            reply.last_text_ns = stamp
            if thinking:
                if reply.first_thinking_ns is None:
                    reply.first_thinking_ns = stamp
                self._thinking += thinking.encode()
            if content:
                if self._tags is None:
                    self._answer += content.encode()
                else:
                    self._sort_out(content)
        if tools:
            reply.tool_calls += len(tools)
        if line.done:
            self._finish_line(data)

    def _decode(self, data: bytes) -> _Line | None:
        """The line, or None if it is an error or not Ollama's; then the verdict is set."""
        reply = self.reply
        try:
            line = _decode_line(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            self.refuse(f"line {len(reply.chunk_ns)} is not Ollama's: {e}: {_excerpt(data)}")
            return None
        if line.error:
            self._fail(Outcome.STREAM_ERROR, _error_text(line.error))
            return None
        if self._done:
            self.refuse(f"a line came after the one with done: true: {_excerpt(data)}")
            return None
        if line.created_at:
            if not reply.created_at_first:
                reply.created_at_first = line.created_at
            reply.created_at_last = line.created_at
        return line

    def _sort_out(self, content: str) -> None:
        """Content while it is open whether, or until when, it is thinking in literal tags."""
        tags, reply, stamp = self._tags, self.reply, self.stamp
        assert tags is not None
        if self._held_ns is None:
            self._held_ns = stamp
        undecided = tags.undecided
        thinking, answer = tags.feed(content)
        if tags.undecided:
            return
        # Text that was held back arrived when it arrived, not when it was understood. The tag
        # itself is the first thing the user sees of the thinking.
        if undecided and tags.tagged and reply.first_thinking_ns is None:
            reply.first_thinking_ns = self._held_ns
        if answer and reply.first_answer_ns is None:
            reply.first_answer_ns = stamp if tags.tagged else self._held_ns
        self._thinking += thinking.encode()
        self._answer += answer.encode()
        if tags.plain:
            self._tags = None

    def _finish_line(self, data: bytes) -> None:
        """The line with `done: true`."""
        self._done = True
        reply = self.reply
        try:
            done = _decode_done(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            self.refuse(f"the done line is not Ollama's: {e}: {_excerpt(data)}")
            return
        reply.done_reason = done.done_reason
        reply.remote_model = done.remote_model or ""
        reply.server = done.timings()

    # --- the end --------------------------------------------------------------------------------

    def end_of_body(self) -> None:
        """The body has ended as HTTP says it should."""
        if self.broken:
            return
        if self._inflate is not None and not self._inflate.eof:
            self._fail(Outcome.DISCONNECTED, "the compressed body ends in the middle")
            return
        if self._body is not None:
            if self.reply.status == 200:
                self._whole_body(bytes(self._body))
            elif not self.reply.error:
                self.reply.error = _body_error(bytes(self._body))
        elif self._rest:
            rest = bytes(self._rest)
            if not rest.isspace():
                self._line(rest)
        if self.verdict is None:
            if self._done:
                self.verdict = Outcome.OK
            else:
                self._fail(Outcome.ABORTED, "the reply ended without done: true")

    def _whole_body(self, data: bytes) -> None:
        """A reply that is not streamed: one JSON object."""
        line = self._decode(data)
        if line is None:
            return
        message = line.message or _Message(line.response, line.thinking, line.tool_calls)
        self._thinking += (message.thinking or "").encode()
        if message.content:
            thinking, answer = split_think_tags(message.content)
            self._thinking += thinking.encode()
            self._answer += answer.encode()
        self.reply.tool_calls = len(message.tool_calls or ())
        if line.done:
            self._finish_line(data)

    def finish(self, outcome: Outcome, error: str, end_ns: int) -> Reply:
        """Close the reply.

        Args:
            outcome: how the exchange ended as the transport saw it; a verdict found in the bytes
                comes before it.
            error: what went wrong; not used if the bytes held the reason.
            end_ns: the last byte, or the moment of the failure.
        """
        reply = self.reply
        reply.outcome = self.verdict or outcome
        if not reply.error and reply.outcome is not Outcome.OK:
            if self._body and reply.status != 200:
                error = _body_error(bytes(self._body))
            reply.error = error[:MAX_ERROR_CHARS]
        reply.end_ns = end_ns
        self._text()
        return reply

    def _text(self) -> None:
        reply = self.reply
        if self._tags is not None:
            thinking, answer = self._tags.end()
            self._thinking += thinking.encode()
            self._answer += answer.encode()
            if answer and reply.first_answer_ns is None:
                reply.first_answer_ns = self._held_ns
        thinking, answer = self._thinking.decode(), self._answer.decode()
        if thinking or answer:
            reply.thinking_chars, reply.answer_chars = len(thinking), len(answer)
            output = self._thinking + b"\0" + self._answer
            reply.output_sha256 = hashlib.sha256(output).hexdigest()[:16]
        if self._call.keep_text and reply.status == 200:
            reply.thinking, reply.answer = thinking, answer

    # --- failures -------------------------------------------------------------------------------

    def _fail(self, outcome: Outcome, error: str) -> None:
        if self.verdict is None:
            self.verdict = outcome
            self.reply.error = error[:MAX_ERROR_CHARS]

    def refuse(self, error: str) -> None:
        """Not what Ollama sends: give up on this response."""
        self._fail(Outcome.MALFORMED, error)
        self.broken = True


def _redirect_text(status: int, location: str) -> str:
    text = f"HTTP {status}: redirected to {location[:300] or 'nowhere'}"
    return f"{text}; redirects are not followed: use the final URL as the target"


def _error_text(error: Any) -> str:
    """The text of an error value: a string, or the object of the compatible endpoints."""
    if isinstance(error, dict):
        error = error.get("message", error)
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()


def _body_error(body: bytes) -> str:
    """The text of an error body, bounded; whatever came if it is not JSON."""
    try:
        value = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    if isinstance(value, dict) and value.get("error"):
        return _error_text(value["error"])[:MAX_ERROR_CHARS]
    return body[: MAX_ERROR_CHARS * 4].decode(errors="replace").strip()[:MAX_ERROR_CHARS]


def _excerpt(data: bytes) -> str:
    return repr(data[:120].decode(errors="replace"))
