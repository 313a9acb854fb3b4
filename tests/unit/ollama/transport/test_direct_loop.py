"""The loop that reads measured sockets itself, and when it waits for several chunks at once."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle

import pytest

from bench.wire.transports import direct_loop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")


def _fail(error: Exception) -> None:
    raise error


class Wires:
    """Socket pairs whose far ends write, read by a selector on a clock set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 10**9
        self.pauses = 0
        self.waits = True
        self.selector = direct_loop.DirectSelector(_fail)
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        monkeypatch.setattr(direct_loop.time, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(self.selector, "_pause", self._paused)

    def _paused(self) -> None:
        self.pauses += 1

    def open(self, n: int) -> None:
        for _ in range(n):
            near, far = socket.socketpair()
            self.pairs.append((near, far))
            self.selector.add_direct(near.fileno(), lambda near=near: self._read(near))

    def _read(self, near: socket.socket) -> bool:
        near.recv(100)
        return self.waits

    def stream(self, chunks: int, per_s: float, timeout: float | None = None) -> None:
        """Chunks one by one, on each wire in turn."""
        for (_, far), _ in zip(cycle(self.pairs), range(chunks), strict=False):
            far.send(b"x")
            self.selector.select(timeout)
            self.now_ns += round(1e9 / per_s)

    def close(self) -> None:
        self.selector.close()
        for pair in self.pairs:
            for sock in pair:
                sock.close()


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wires]:
    found = Wires(monkeypatch)
    yield found
    found.close()


def test_many_streams_at_a_high_rate_are_read_together(wires: Wires) -> None:
    wires.open(50)
    wires.stream(400, per_s=20_000)
    assert wires.pauses > 100


def test_few_chunks_are_read_one_by_one(wires: Wires) -> None:
    wires.open(50)
    wires.stream(400, per_s=5_000)
    assert wires.pauses == 0


def test_streams_so_fast_that_their_chunks_would_share_a_read_are_not_made_to_wait(
    wires: Wires,
) -> None:
    wires.open(2)
    wires.stream(400, per_s=20_000)
    assert wires.pauses == 0


def test_reads_that_somebody_acts_on_cause_no_pauses(wires: Wires) -> None:
    wires.waits = False
    wires.open(50)
    wires.stream(400, per_s=20_000)
    assert wires.pauses == 0


def test_the_pauses_end_with_the_rush(wires: Wires) -> None:
    wires.open(50)
    wires.stream(400, per_s=20_000)
    wires.stream(100, per_s=1_000)
    before = wires.pauses
    wires.stream(100, per_s=1_000)
    assert wires.pauses == before


@pytest.mark.parametrize("timeout", [0.0, direct_loop.PAUSE_S / 2])
def test_a_timer_that_is_due_comes_first(wires: Wires, timeout: float) -> None:
    wires.open(50)
    wires.stream(400, per_s=20_000)
    before = wires.pauses
    wires.stream(100, per_s=20_000, timeout=timeout)
    assert wires.pauses == before


def test_any_other_descriptor_ends_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_loop, "PAUSE_S", 60.0)
    selector = direct_loop.DirectSelector(lambda e: None)
    near, far = os.pipe()
    try:
        selector.register(near, selectors.EVENT_READ, "data")
        selector.modify(near, selectors.EVENT_READ, "other")
        selector._pausing = True
        os.write(far, b"x")
        before = time.monotonic()
        ((key, mask),) = selector.select(None)
        assert time.monotonic() - before < 30
        assert (key.data, mask) == ("other", selectors.EVENT_READ)
        selector.unregister(near)
        assert not selector._others.poll(0)
    finally:
        selector.close()
        os.close(near)
        os.close(far)
