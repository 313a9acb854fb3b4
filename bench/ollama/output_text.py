"""The text of one reply, and when its parts began."""

from __future__ import annotations

from hashlib import sha256

from bench.ollama.exchange import Reply
from bench.ollama.think_tags import ThinkTags, split_think_tags


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
            self._thinking += thinking.encode()
        if content:
            if reply.first_answer_ns is not None:
                self._answer += content.encode()
            else:
                self._before_answer(content, stamp)

    def add_answer(self, text: str) -> None:
        """More of an answer that has begun; the caller sees to the stamps."""
        self._answer += text.encode()

    def add_whole(self, thinking: str, content: str) -> None:
        """All of a reply that is not streamed."""
        tagged, answer = split_think_tags(content)
        self._thinking += (thinking + tagged).encode()
        self._answer += answer.encode()

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
        self._thinking += thinking.encode()
        self._answer += answer.encode()

    def close(self, keep: bool) -> None:
        """Complete the reply.

        Args:
            keep: put the text itself into it, not only its length and hash.
        """
        reply = self._reply
        if self._tags is not None and reply.first_answer_ns is None:
            thinking, answer = self._tags.end()
            self._thinking += thinking.encode()
            self._answer += answer.encode()
            if answer:
                reply.first_answer_ns = self._held_ns
        if self._thinking or self._answer:
            output = self._thinking + b"\0" + self._answer
            reply.output_sha256 = sha256(output).hexdigest()[:16]
            reply.thinking_chars = len(self._thinking.decode())
            reply.answer_chars = len(self._answer.decode())
        if keep:
            reply.thinking, reply.answer = self._thinking.decode(), self._answer.decode()
