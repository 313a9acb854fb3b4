"""The text of one reply, and when its parts began."""

from __future__ import annotations

from hashlib import sha256

from bench.ollama.think_tags import ThinkTags, split_think_tags
from bench.wire.exchange import Reply

_UTF8 = ("utf-8", "surrogatepass")
_UTF16 = ("utf-16-le", "surrogatepass")


class OutputText:
    """Gathers thinking and answer; keeps the first stamps in the reply.

    Kept as UTF-8, which for a stream is a tenth of what as many small strings would take.
    """

    __slots__ = ("_answer", "_held_ns", "_reply", "_tags", "_thinking")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._answer = bytearray()
        self._thinking = bytearray()
        self._tags: ThinkTags | None = None
        self._held_ns = 0

    def add(self, thinking: str | None, content: str | None, stamp: int) -> None:
        """What a line of a stream brought."""
        reply = self._reply
        if not thinking and not content:
            return
        reply.text_chunks += 1
        reply.last_text_ns = stamp
        if thinking:
            if reply.first_thinking_ns is None:
                reply.first_thinking_ns = stamp
            self._thinking += thinking.encode(*_UTF8)
        if content:
            if reply.first_answer_ns is not None:
                self._answer += content.encode(*_UTF8)
            else:
                self._before_answer(content, stamp)

    def add_answer(self, text: str) -> None:
        """More of an answer that has begun; the caller sees to the stamps."""
        self._answer += text.encode()

    def add_whole(self, thinking: str, content: str) -> None:
        """All of a reply that is not streamed."""
        tagged, answer = split_think_tags(content)
        self._thinking += (thinking + tagged).encode(*_UTF8)
        self._answer += answer.encode(*_UTF8)

    @property
    def size(self) -> int:
        """Bytes kept so far."""
        return len(self._thinking) + len(self._answer)

    def _before_answer(self, content: str, stamp: int) -> None:
        """Content as long as it may be, or is, thinking within literal tags."""
        reply = self._reply
        if self._tags is None:
            self._tags = ThinkTags()
            self._held_ns = stamp
        tags = self._tags
        thinking, answer = tags.feed(content)
        # Text that was held back arrived when it arrived, not when it was understood. The tag
        # itself is the first thing the user sees of the thinking.
        if tags.tagged and reply.first_thinking_ns is None:
            reply.first_thinking_ns = self._held_ns
        if answer:
            reply.first_answer_ns = stamp if tags.tagged else self._held_ns
        self._thinking += thinking.encode(*_UTF8)
        self._answer += answer.encode(*_UTF8)

    def close(self, keep: bool) -> None:
        """Complete the reply.

        `keep` puts the text itself into it, not only its length and hash.
        """
        reply = self._reply
        if self._tags is not None and reply.first_answer_ns is None:
            thinking, answer = self._tags.end()
            self._thinking += thinking.encode(*_UTF8)
            self._answer += answer.encode(*_UTF8)
            if answer:
                reply.first_answer_ns = self._held_ns
        # One after the other: each may be large.
        reply.thinking_chars, thinking_text = self._finished(self._thinking, keep)
        reply.answer_chars, answer_text = self._finished(self._answer, keep)
        if self._thinking or self._answer:
            output = sha256(self._thinking)
            output.update(b"\0")
            output.update(self._answer)
            reply.output_sha256 = output.hexdigest()[:16]
        if keep:
            reply.thinking, reply.answer = thinking_text, answer_text

    def _finished(self, kept: bytearray, keep: bool) -> tuple[int, str]:
        """Length in characters and, if it is to be kept, the text.

        Halves of a character that two lines brought (a UTF-16 surrogate each) are joined; a half
        that stays alone is no text.
        """
        try:
            text = kept.decode()
        except UnicodeDecodeError:
            halves = kept.decode(*_UTF8).encode(*_UTF16)
            text = halves.decode("utf-16-le", "replace")
            kept[:] = text.encode()
            if "\ufffd" in text:
                self._reply.odd += ("text",)
        return len(text), text if keep else ""
