"""Requests made ready ahead of time, so that nothing is encoded between planned and sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.wire.exchange import Call, Reply


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call, and what its record says of it.

    Attributes:
        number: which prompt of its phase this is.
        prompt_sha256: identity of the prompt, nonce included (first 16 hex digits).
        target_input_tokens, num_predict, seed, nonce: see `bench.results.record.RequestRecord`.
        marks: more fields of the record that are known beforehand.
        check: what is found of the answer, by the names of checks.
        hear: called with the reply; returns further fields of the record.
        text_kept: the record has the answer's text, if the reply has.
    """

    call: Call
    number: int
    prompt_sha256: str = ""
    target_input_tokens: int | None = None
    num_predict: int | None = None
    seed: int | None = None
    nonce: str = ""
    marks: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Reply], dict[str, bool]] | None = None
    hear: Callable[[Reply], Mapping[str, Any]] | None = None
    text_kept: bool = True


class Supply:
    """An endless row of prepared calls with a few always ready.

    Numbers go from `start` on in steps of `step`: worker processes share them out.
    """

    def __init__(
        self, make: Callable[[int], Prepared], ahead: int, start: int = 0, step: int = 1
    ) -> None:
        self._make = make
        self._ahead = ahead
        self._next = start
        self._step = step
        self._ready: deque[Prepared] = deque()
        self._longest_ns = 0

    def take(self) -> Prepared:
        """The next call; made on the spot only if none is ready."""
        return self._ready.popleft() if self._ready else self._make_next()

    def skip(self) -> None:
        """Pass over the next call: its arrival was dropped, and the others keep their own."""
        if self._ready:
            self._ready.popleft()
        else:
            self._next += self._step

    def refill(self) -> None:
        """Make calls ready again; to be called when there is time."""
        while len(self._ready) < self._ahead:
            self._ready.append(self._make_next())

    def refill_by(self, deadline_ns: int, now_ns: Callable[[], int]) -> None:
        """Make calls ready again for as long as there is time until a deadline."""
        while len(self._ready) < self._ahead:
            begun_ns = now_ns()
            if begun_ns + self._longest_ns >= deadline_ns:
                # What took long once may have been held up by others: it need not again.
                self._longest_ns = self._longest_ns * 7 // 8
                return
            self._ready.append(self._make_next())
            self._longest_ns = max(self._longest_ns, now_ns() - begun_ns)

    def _make_next(self) -> Prepared:
        prepared = self._make(self._next)
        self._next += self._step
        return prepared
