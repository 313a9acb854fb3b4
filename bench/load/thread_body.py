"""The messages of one thread as encoded JSON that grows: what was encoded once is not again.

A request of an agent repeats a history of a quarter of a megabyte and adds a few lines to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bench.scenario.block_text import block_text
from bench.scenario.corpus import TokenRates

_encoder = msgspec.json.Encoder()


class ThreadBody:
    """The history of one thread."""

    __slots__ = ("_blocks", "_head", "_history", "_lengths", "_message", "_parts")

    def __init__(self) -> None:
        self._history = bytearray()
        self._head: tuple[dict[str, Any], ...] = ()
        self._message = b""
        self._blocks: tuple[int, ...] = ()
        self._lengths: tuple[int, ...] = ()
        self._parts: list[int] = []

    def restart(self) -> None:
        """Begin anew."""
        self._history.clear()

    def add(self, messages: Iterable[dict[str, Any]]) -> None:
        """Append messages."""
        for message in messages:
            if self._history:
                self._history += b","
            self._history += _encoder.encode(message)

    def blocks(
        self, blocks: Sequence[int], lengths: Sequence[int], rates: TokenRates, language: str
    ) -> None:
        """Let the history be one message whose text is made of the blocks of a trace.

        What it has in common with the one before stays.
        """
        same = 0
        now = zip(blocks, lengths, strict=True)
        before = zip(self._blocks, self._lengths, strict=True)
        for mine, old in zip(now, before, strict=False):
            if mine != old:
                break
            same += 1
        if not same:
            self._history[:] = b'{"role":"user","content":"'
            self._parts = [len(self._history)]
        else:
            del self._history[self._parts[same] :], self._parts[same + 1 :]
        bare = rates if not same else replace(rates, overhead_tokens=0.0)
        for block, length in zip(blocks[same:], lengths[same:], strict=True):
            text = block_text((block,), (length,), bare, language)
            bare = replace(rates, overhead_tokens=max(0.0, bare.overhead_tokens - length))
            begun = len(self._history) > self._parts[0]
            self._history += _encoder.encode(f"\n{text}" if begun else text)[1:-1]
            self._parts.append(len(self._history))
        self._blocks, self._lengths = tuple(blocks), tuple(lengths)

    def messages(self, head: Sequence[dict[str, Any]]) -> bytes:
        """All of it as a JSON list, with these messages in front."""
        if head != self._head:
            self._head = tuple(head)
            self._message = b",".join(_encoder.encode(message) for message in head)
        comma = b"," if self._message and self._history else b""
        end = b'"}' if self._parts else b""
        return b"".join((b"[", self._message, comma, self._history, end, b"]"))
