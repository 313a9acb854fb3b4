"""Puts requests together into sessions: each continues the one whose messages it begins with."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

MOST_SESSIONS = 2_000
"""That are waited for: of more, the one that was silent longest is over."""


@dataclass(slots=True)
class _Thread:
    """A session that may go on.

    Attributes:
        name: of the session.
        chain: of its last prompt: one hash a message, each of it and all before it.
        tools: digest of its tools when they were last recorded.
    """

    name: str
    chain: list[str]
    tools: str = ""


@dataclass(frozen=True, slots=True)
class ThreadPlace:
    """Where a request belongs.

    Attributes:
        session: its name.
        new: its first message that was not sent before; 0 where `fresh`.
        fresh: its history is not that of the request before it.
        tools_changed: it offers other tools than that one.
        hashes: of the tools, then one a message: each of it and all before it.
    """

    session: str
    new: int
    fresh: bool
    tools_changed: bool
    hashes: tuple[str, ...]


@dataclass(slots=True)
class Threads:
    """All sessions of a recording.

    Attributes:
        salt: of the hashes; it is written nowhere, so that nobody can try what a text was.
        prefix: of the names of sessions.
    """

    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    prefix: str = field(default_factory=lambda: secrets.token_hex(3))
    _threads: OrderedDict[str, _Thread] = field(default_factory=OrderedDict)
    _known: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def place(self, messages: Sequence[dict[str, Any]], tools: Any) -> ThreadPlace:
        """Where a request belongs, and from now on its session continues with it."""
        chain = self._chain(messages)
        digest = self._hash(b"", tools or [])
        names = (self._known.get(link, "") for link in reversed(chain))
        thread = next((self._threads[name] for name in names if name in self._threads), None)
        if thread is None:
            self._count += 1
            thread = _Thread(f"{self.prefix}-{self._count}", [])
        before = thread.chain
        goes_on = bool(before) and len(chain) > len(before) and chain[len(before) - 1] == before[-1]
        changed = thread.tools != digest
        thread.chain, thread.tools = chain, digest
        self._remember(thread, messages)
        new = len(before) if goes_on else 0
        hashes = (digest, *(self._hash(digest.encode(), link) for link in chain))
        return ThreadPlace(thread.name, new, not goes_on, changed, hashes)

    def forget(self, session: str) -> None:
        """Its last request is not in the file: the next one is to be written whole."""
        self._threads[session].chain, self._threads[session].tools = [], ""

    def _remember(self, thread: _Thread, messages: Sequence[dict[str, Any]]) -> None:
        """What is sent with its first user message, or more, belongs to the same session."""
        first = next((i for i, m in enumerate(messages) if m.get("role") == "user"), 0)
        for digest in thread.chain[first:]:
            self._known[digest] = thread.name
        self._threads[thread.name] = thread
        self._threads.move_to_end(thread.name)
        if len(self._threads) > MOST_SESSIONS:
            gone, _ = self._threads.popitem(last=False)
            self._known = {h: name for h, name in self._known.items() if name != gone}

    def _chain(self, messages: Sequence[dict[str, Any]]) -> list[str]:
        chain, last = [], ""
        for message in messages:
            last = self._hash(last.encode(), message)
            chain.append(last)
        return chain

    def _hash(self, before: bytes, value: Any) -> str:
        digest = hashlib.blake2b(before, key=self.salt, digest_size=12)
        digest.update(msgspec.json.encode(value))
        return digest.hexdigest()
