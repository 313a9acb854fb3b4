"""What is recorded of the machine at rest, against a meter whose readings are planted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bench.load.machine_rest import machine_at_rest
from bench.results.run import Residency, TargetInfo

NS = 10**9


class Meter:
    """Counts joules: 100 W, and 900 W from some moment on."""

    rises_ns = 0

    def start(self) -> None:
        pass

    def watches(self, _: str) -> bool:
        return True

    def watts_can_be_read(self, _: str) -> bool:
        return True

    def joules(self, at_ns: int) -> float:
        return 100 * at_ns / NS + 800 * max(0, at_ns - self.rises_ns) / NS

    def between(self, _: str, start_ns: int, end_ns: int, __: int) -> dict[str, list[Any]]:
        times = range(start_ns, end_ns + 1, NS // 10)
        return {"gpu0_energy_j": [(t, self.joules(t)) for t in times]}


async def test_the_idle_time_is_that_of_which_the_power_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It said 10 s and measured 9.5."""
    clock, meter = {"ns": 0}, Meter()

    async def sleep(seconds: float) -> None:
        clock["ns"] += round(seconds * NS)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    meter.rises_ns = 12 * NS
    target = TargetInfo(name="here", url="", version="", era="", same_host=False)
    found = await machine_at_rest(
        meter,  # type: ignore[arg-type]
        "here",
        target,
        Residency(True, size_bytes=1, vram_bytes=1),
        lambda: clock["ns"],
    )
    idle = found["idle"]
    begin_ns = 3 * NS  # clocks settle first
    joules = meter.joules(begin_ns + round(idle["seconds"] * NS)) - meter.joules(begin_ns)
    watts = idle["devices"]["gpu0"]["watts"]
    assert watts == pytest.approx(joules / idle["seconds"], rel=0.01)
