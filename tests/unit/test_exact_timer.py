"""Sleeping to a deadline, on the real clock: never early, in order, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref

import pytest

from bench.clock import NS, RealClock
from bench.exact_timer import exact_timer


async def test_never_early_and_all_woken() -> None:
    clock = RealClock()
    start_ns = clock.now_ns()
    begun: list[int] = []
    woken: list[tuple[int, int]] = []

    async def sleeper(deadline_ns: int) -> None:
        begun.append(clock.now_ns())
        await clock.sleep_until(deadline_ns)
        woken.append((deadline_ns, clock.now_ns()))

    deadlines = [start_ns + (i * 7919 % 200) * 100_000 for i in range(200)]
    await asyncio.gather(*(sleeper(d) for d in deadlines))
    assert len(woken) == 200
    assert all(now >= deadline for deadline, now in woken)
    # Those that were past when the last sleeper began did not wait on the timer.
    waited = [d for d, _ in woken if d > max(begun) + 1_000_000]
    assert waited == sorted(waited)


async def test_past_deadline_returns_after_a_turn() -> None:
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    asyncio.get_running_loop().call_soon(turn)
    await RealClock().sleep_until(time.monotonic_ns() - NS)
    assert turned


async def test_waiting_costs_no_cpu() -> None:
    cpu_s = time.process_time()
    await RealClock().sleep_until(time.monotonic_ns() + 300_000_000)
    assert time.process_time() - cpu_s < 0.15


async def test_cancelled_sleepers_are_forgotten() -> None:
    clock = RealClock()
    far_ns = clock.now_ns() + 3600 * NS
    tasks = [asyncio.ensure_future(clock.sleep_until(far_ns + i)) for i in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0)
    soon_ns = clock.now_ns() + 1_000_000
    await clock.sleep_until(soon_ns)
    assert soon_ns <= clock.now_ns() < far_ns
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, asyncio.CancelledError) for r in results)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timerfd")
def test_linux_has_it_and_it_goes_with_its_loop() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        assert exact_timer() is exact_timer() is not None
        task = asyncio.ensure_future(RealClock().sleep_until(time.monotonic_ns() + 3600 * NS))
        await asyncio.sleep(0)
        task.cancel()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(main())
    gc.collect()
    assert loop() is None
