from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator

import pytest

from bench.clock import NS
from bench.wire.exchange import WireCounters
from bench.wire.transports import stamps as stamps_module
from bench.wire.transports.stamps import KernelStamps, sample_offset_ns, why_no_kernel_stamps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has them, nobody else")


@pytest.fixture
def counters() -> WireCounters:
    return WireCounters()


@pytest.fixture
def stamps(counters: WireCounters) -> Iterator[KernelStamps]:
    found = KernelStamps(counters)
    yield found
    found.close()


def timespec(real_ns: int) -> bytes:
    return struct.pack("@ll", *divmod(real_ns, NS))


def test_self_test_passes_here() -> None:
    assert why_no_kernel_stamps() == ""


def test_offset_is_the_difference_of_the_clocks() -> None:
    offset_ns = sample_offset_ns()
    assert abs(time.time_ns() - time.monotonic_ns() - offset_ns) < 10_000_000


def test_stamp_becomes_monotonic(stamps: KernelStamps) -> None:
    before_ns = time.monotonic_ns()
    stamp = stamps.monotonic_ns(timespec(time.time_ns()), time.monotonic_ns())
    assert before_ns - 50_000 <= stamp <= time.monotonic_ns() + 50_000


@pytest.mark.parametrize("step_s", [-3600, -0.02, 0.02, 3600])
def test_clock_that_is_set_is_noticed_at_the_next_stamp(
    step_s: float, stamps: KernelStamps, counters: WireCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_ns = round(step_s * NS)
    offset_ns = sample_offset_ns() + step_ns
    monkeypatch.setattr(stamps_module, "sample_offset_ns", lambda: offset_ns)
    now_ns = time.monotonic_ns() + 10_000_000
    arrived_ns = now_ns - 30_000
    stamp = stamps.monotonic_ns(timespec(arrived_ns + offset_ns), now_ns)
    assert stamp == arrived_ns
    assert counters.clock_steps == 1


def test_a_stalled_loop_does_not_sample_for_every_stamp(
    stamps: KernelStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = 0

    def sample() -> int:
        nonlocal samples
        samples += 1
        return offset_ns

    offset_ns = sample_offset_ns()
    monkeypatch.setattr(stamps_module, "sample_offset_ns", sample)
    start_ns = time.monotonic_ns() + 10_000_000
    for i in range(1000):
        now_ns = start_ns + i * 10_000
        stamp = stamps.monotonic_ns(timespec(now_ns - 20_000_000 + offset_ns), now_ns)
        assert abs(stamp - (now_ns - 20_000_000)) < 50_000
    # In ten milliseconds at most each five.
    assert 1 <= samples <= 3


def test_offset_is_sampled_anew_each_second(
    stamps: KernelStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset_ns = sample_offset_ns() + 2_000_000
    monkeypatch.setattr(stamps_module, "sample_offset_ns", lambda: offset_ns)
    now_ns = time.monotonic_ns() + 2 * NS
    assert stamps.monotonic_ns(timespec(now_ns + offset_ns), now_ns) == now_ns


def test_late_read_is_no_step(stamps: KernelStamps, counters: WireCounters) -> None:
    # The loop stalled for a second: the stamp is old, and right.
    now_ns = time.monotonic_ns()
    offset_ns = sample_offset_ns()
    stamp = stamps.monotonic_ns(timespec(now_ns - NS + offset_ns), now_ns)
    assert abs(stamp - (now_ns - NS)) < 50_000
    assert counters.clock_steps == 0


def test_stamp_of_the_future_is_none(stamps: KernelStamps) -> None:
    now_ns = time.monotonic_ns()
    assert stamps.monotonic_ns(timespec(time.time_ns() + NS), now_ns) == 0
