"""Which part of a prompt a runner need not evaluate again.

Each slot keeps the tokens of its last sequence. How a free slot is chosen for a request differs:

- The Go runners (Ollama up to 0.24) take the free slot that shares the longest prefix with it;
  nothing is copied and nothing saved. With OLLAMA_MULTIUSER_CACHE they take the slot idle longest
  and copy the prefix into it, unless a free slot's whole content can be continued.
- llama-server (Ollama from 0.30 on) takes the free slot that shares most, if that is more than a
  tenth of the prompt, else the one idle longest. Only in the second case, or if less than half of
  the slot's content would be kept, is that content saved in the host's memory, and a better one
  loaded from there; what other idle slots hold is copied there, too. So a request that shares its
  head with somebody else's slot goes there, though the host's memory may hold its whole history.

These rules were read in the sources of Ollama 0.24 and llama.cpp b11549, and agree with
measurements on a real llama-server of that build (`tests/unit/simulation/test_prefix_cache.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

Choice = Literal["similar", "longest", "fork"]

_MIB = 1 << 20
_LEAST_SIMILARITY = 0.1
_LOST_BELOW = 0.5
"""A slot's content of which less than this would be kept is saved first."""
_WORTH_LOADING = 0.25
"""Least share of a saved sequence that must be kept for it to be loaded."""
_CHECKPOINT_STEP = 8192
_CHECKPOINTS = 32
_BEFORE_END = 4
"""A checkpoint is made this many tokens before the end of each prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """How a runner chooses a slot, and what it keeps.

    Attributes:
        choice: "similar" (llama-server), "longest" (the Go runners), or "fork" (the Go runners with
            OLLAMA_MULTIUSER_CACHE).
        similarity: share of the prompt that a slot must have more of ("similar").
        host_mib: memory of the host for saved sequences, in MiB; 0 = none ("similar").
        bytes_per_token: of a saved sequence.
        checkpoints: the model cannot go back to any token (hybrid and sliding-window models), only
            to a checkpoint: every 8192 tokens and near the end of each prompt.
    """

    choice: Choice = "similar"
    similarity: float = _LEAST_SIMILARITY
    host_mib: int = 0
    bytes_per_token: int = 0
    checkpoints: bool = False


def common_prefix(a: Tokens, b: Tokens) -> int:
    """How many tokens two sequences share at their start."""
    n = min(len(a), len(b))
    if not n or a[0] != b[0]:
        return 0
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


_EMPTY: Tokens = np.empty(0, np.int32)


class _Saved:
    """A sequence in the host's memory.

    Every request is compared with all of them, so what decides most comparisons is kept as bytes.
    """

    __slots__ = ("back_to", "head", "raw", "tokens")

    def __init__(self, tokens: Tokens, raw: bytes, back_to: tuple[int, ...]) -> None:
        """`raw`: the bytes of the tokens; their `head` is what a prompt must share to load them."""
        self.tokens = tokens
        self.raw = raw
        self.head = raw[: math.ceil(_WORTH_LOADING * len(tokens)) * tokens.itemsize]
        self.back_to = back_to


@dataclass(slots=True, eq=False)
class _Slot:
    """One place: what it holds, where it can go back to, and when it was used last."""

    number: int
    tokens: Tokens
    back_to: tuple[int, ...] = ()
    used: int = 0
    busy: bool = False


class PrefixCache:
    """The prefix cache of one runner."""

    def __init__(self, slots: int, rules: CacheRules | None = None) -> None:
        self._rules = rules or CacheRules()
        self._slots = [_Slot(number, _EMPTY) for number in range(slots)]
        self._host: list[_Saved] = []  # the oldest first
        self._host_tokens = 0
        self._turn = 0

    @property
    def host_bytes(self) -> int:
        """Bytes of the host's memory that saved sequences take."""
        return self._host_tokens * self._rules.bytes_per_token

    def take(self, tokens: Sequence[int] | Tokens) -> tuple[int, int]:
        """Take a slot for a prompt: (slot, tokens found in the cache).

        At least one token is always evaluated.
        """
        prompt = np.asarray(tokens, np.int32)
        shared = {s.number: common_prefix(s.tokens, prompt) for s in self._slots}
        free = [s for s in self._slots if not s.busy]
        if self._rules.choice == "similar":
            slot = self._similar(free, shared, prompt)
            self._copy_idle(slot)
        elif self._rules.choice == "fork":
            slot = self._forked(free, shared)
        else:
            slot = max(free, key=lambda s: shared[s.number])
        found = self._reachable(slot, common_prefix(slot.tokens, prompt))
        found = min(found, max(len(prompt) - 1, 0))
        slot.tokens = slot.tokens[:found]
        slot.back_to = tuple(at for at in slot.back_to if at <= found)
        slot.busy = True
        return slot.number, found

    def evaluated(self, slot: int, tokens: Sequence[int] | Tokens) -> None:
        """The whole prompt is in the slot now."""
        self._fill(self._slots[slot], np.asarray(tokens, np.int32), len(tokens))

    def release(self, slot: int, tokens: Sequence[int] | Tokens, prompt_n: int) -> None:
        """The slot's sequence has ended; its tokens stay."""
        place = self._slots[slot]
        self._fill(place, np.asarray(tokens, np.int32), prompt_n)
        place.busy = False
        self._turn += 1
        place.used = self._turn

    def _fill(self, slot: _Slot, tokens: Tokens, prompt_n: int) -> None:
        slot.tokens = tokens
        if self._rules.checkpoints:
            reached = slot.back_to[-1] if slot.back_to else 0
            steps = range(reached + _CHECKPOINT_STEP, prompt_n, _CHECKPOINT_STEP)
            end = max(prompt_n - _BEFORE_END, 0)
            slot.back_to = (*slot.back_to, *steps, end)[-_CHECKPOINTS:]

    def _reachable(self, slot: _Slot, shared: int) -> int:
        """How much of what is shared can be used: all, or up to the last checkpoint."""
        if not self._rules.checkpoints or shared == len(slot.tokens):
            return shared
        return max((at for at in slot.back_to if at <= shared), default=0)

    def _similar(self, free: list[_Slot], shared: dict[int, int], prompt: Tokens) -> _Slot:
        rules = self._rules
        best = max(free, key=lambda s: shared[s.number])
        found = shared[best.number]
        if rules.similarity and found > rules.similarity * len(prompt):
            if found < _LOST_BELOW * len(best.tokens):
                self._exchange(best, prompt)
            return best
        idle = min(free, key=lambda s: (s.used, -s.number))
        self._exchange(idle, prompt)
        return idle

    def _copy_idle(self, taken: _Slot) -> None:
        """What other slots hold and do not work on is saved as well, and stays in them."""
        if self._rules.host_mib:
            for slot in self._slots:
                if slot is not taken and not slot.busy:
                    self._save(slot)
            self._evict()

    def _forked(self, free: list[_Slot], shared: dict[int, int]) -> _Slot:
        best = max(self._slots, key=lambda s: shared[s.number])
        found = shared[best.number]
        if found == len(best.tokens) and not best.busy:
            return best
        oldest = min(free, key=lambda s: s.used)
        if found and oldest is not best:
            oldest.tokens, oldest.back_to = best.tokens[:found], best.back_to
        return oldest

    def _exchange(self, slot: _Slot, prompt: Tokens) -> None:
        """Save a slot's content in the host's memory, and load a better one from there."""
        if not self._rules.host_mib:
            return
        self._save(slot)
        found = common_prefix(slot.tokens, prompt)
        kept = found / len(slot.tokens) if len(slot.tokens) else -1.0
        best = None
        asked = prompt.tobytes()
        for saved in self._host:
            if asked.startswith(saved.head):
                here = common_prefix(saved.tokens, prompt)
                share = here / len(saved.tokens)
                if share > kept and here > found:
                    best, kept, found = saved, share, here
        if best is not None:
            self._host.remove(best)
            self._host_tokens -= len(best.tokens)
            slot.tokens, slot.back_to = best.tokens, best.back_to
        self._evict()

    def _save(self, slot: _Slot) -> None:
        raw = slot.tokens.tobytes()
        if not raw or any(saved.raw.startswith(raw) for saved in self._host):
            return
        contained = [saved for saved in self._host if raw.startswith(saved.raw)]
        for saved in contained:
            self._host.remove(saved)
        self._host.append(_Saved(slot.tokens, raw, slot.back_to))
        self._host_tokens += len(slot.tokens) - sum(len(saved.tokens) for saved in contained)

    def _evict(self) -> None:
        """The oldest go until the rest fits; one always stays."""
        while len(self._host) > 1 and self.host_bytes > self._rules.host_mib * _MIB:
            self._host_tokens -= len(self._host.pop(0).tokens)


def shifted(tokens: Sequence[int] | Tokens, context: int, keep: int) -> Tokens:
    """What is left in a slot whose sequence outgrew the context.

    Each time it is full, half of what follows the first `keep` tokens is dropped from the front
    (context shift), so what comes next shares little more than those with it.
    `keep` is `num_keep`; `context` is what the slot can hold.
    """
    kept = np.asarray(tokens, np.int32)
    while len(kept) > context:
        drop = max((context - keep) // 2, 1)
        kept = np.concatenate((kept[:keep], kept[keep + drop :]))
    return kept
