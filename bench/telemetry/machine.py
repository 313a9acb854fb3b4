"""The whole machine: CPU, memory, swap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from bench.telemetry.files import text_in
from bench.telemetry.source import Description, EnergyCounter, Source


class Machine:
    """CPU, memory and swap as the operating system counts them."""

    counters: Mapping[str, EnergyCounter] = {}

    def __init__(self, root: Path = Path("/")) -> None:
        self._pressure = root / "proc/pressure/memory"
        self._asked = False
        reads = ["cpu_share", "memory_used_bytes", "swap_used_bytes", "swapped_in_bytes"]
        blind = {}
        if text_in(self._pressure):
            reads.append("memory_pressure_percent")
        else:
            blind["memory pressure"] = "the kernel does not show it"
        self.description = Description(
            "machine", "this machine", tuple(reads), exactness="by the system", blind=blind
        )

    def gauges(self) -> Mapping[str, float]:
        """What the system says now; `swapped_in_bytes` counts from its start."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        values = {
            "memory_used_bytes": float(memory.total - memory.available),
            "swap_used_bytes": float(swap.used),
            "swapped_in_bytes": float(swap.sin),
        }
        busy = psutil.cpu_percent() / 100
        if self._asked:  # the first answer of each thread is of nothing
            values["cpu_share"] = busy
        self._asked = True
        if found := re.search(r"some avg10=([\d.]+)", text_in(self._pressure)):
            values["memory_pressure_percent"] = float(found[1])
        return values

    def close(self) -> None:
        """Nothing is open."""


def find_machine() -> tuple[Sequence[Source], Mapping[str, str]]:
    """This machine."""
    return [Machine()], {}
