"""What two machines differ in, from the environments of two runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.analysis.comparison.setup_difference import Role, SetupDifference


def hardware_of(environment: Mapping[str, Any]) -> str:
    """The processor and GPUs of an environment (`RunInfo.environment`); "" if not known."""
    cpu = environment.get("cpu") or {}
    gpus = environment.get("gpus") or []
    parts = [cpu.get("model"), *(g.get("name") for g in gpus)]
    return ", ".join(str(p) for p in parts if p)


def machine_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[SetupDifference]:
    """Other hardware forbids; other system software may explain."""
    hardware = hardware_of(a), hardware_of(b)
    if all(hardware) and hardware[0] != hardware[1]:
        yield SetupDifference("hardware", *hardware, Role.BLOCKS, "Measured on different machines.")
    for key, (of, message) in _SYSTEM.items():
        first, second = of(a), of(b)
        if first and second and first != second:
            yield SetupDifference(key, first, second, Role.EXPLAINS, message)


def _drivers(environment: Mapping[str, Any]) -> str:
    found = [g.get("driver") for g in environment.get("gpus") or []]
    return ", ".join(dict.fromkeys(str(d) for d in found if d))


_Reader = Callable[[Mapping[str, Any]], str]
_SYSTEM: Mapping[str, tuple[_Reader, str]] = {
    "gpu_driver": (_drivers, "Another GPU driver."),
    "cpu_governor": (
        lambda e: str((e.get("cpu") or {}).get("governor") or ""),
        "Another CPU frequency governor: clocks differ.",
    ),
    "operating_system": (
        lambda e: str(e.get("os") or ""),
        "Another operating system or kernel.",
    ),
}
