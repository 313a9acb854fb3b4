"""Which part of a prompt a runner need not evaluate again.

Each slot keeps the tokens of its last sequence; a request gets the free slot that shares the
longest prefix with it. From Ollama 0.30 on, sequences that lost their slot are kept as well, in the
host's memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]


def common_prefix(a: Tokens, b: Tokens) -> int:
    """How many tokens two sequences share at their start."""
    n = min(len(a), len(b))
    if not n or a[0] != b[0]:
        return 0
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


class PrefixCache:
    """The prefix cache of one runner.

    Args:
        slots: of the runner.
        host_entries: how many sequences are kept beside the slots; 0 for none.
    """

    def __init__(self, slots: int, host_entries: int = 0) -> None:
        empty = np.empty(0, np.int32)
        self._slots: OrderedDict[int, Tokens] = OrderedDict((i, empty) for i in range(slots))
        self._busy: set[int] = set()
        self._host: OrderedDict[bytes, Tokens] = OrderedDict()
        self._host_entries = host_entries

    def take(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Take a slot for a prompt: (slot, tokens found in the cache).

        At least one token is always evaluated. Among equally good free slots the one idle longest
        is taken.
        """
        prompt = np.asarray(tokens, np.int32)
        free = [slot for slot in self._slots if slot not in self._busy]
        slot = max(free, key=lambda s: common_prefix(self._slots[s], prompt))
        found = common_prefix(self._slots[slot], prompt)
        kept = max((common_prefix(t, prompt) for t in self._host.values()), default=0)
        if found < len(self._slots[slot]) // 2 or kept > found:
            self._keep(self._slots[slot])
        self._busy.add(slot)
        return slot, min(max(found, kept), max(len(prompt) - 1, 0))

    def release(self, slot: int, tokens: Sequence[int]) -> None:
        """The slot's sequence has ended; its tokens stay."""
        self._busy.discard(slot)
        self._slots[slot] = np.asarray(tokens, np.int32)
        self._slots.move_to_end(slot)

    def _keep(self, tokens: Tokens) -> None:
        if not self._host_entries or not len(tokens):
            return
        self._host[tokens.tobytes()] = tokens
        while len(self._host) > self._host_entries:
            self._host.popitem(last=False)
