"""The NVIDIA cards of this machine by name: none is woken, and no driver is waited for."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.telemetry.nvidia import find_nvidia
from bench.telemetry.source import UnreadableError

DEADLINE_S = 5.0


def nvidia_cards(
    root: Path = Path("/"), present: Callable[[], bool] | None = None
) -> list[dict[str, str]] | None:
    """Name, driver, memory, power limit and highest clock of each NVIDIA card.

    None without `nvidia-ml-py`; no card where the driver does not answer within 5 s. The arguments
    are those of `find_nvidia`.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    found: list[dict[str, str]] = []

    def ask() -> None:
        try:
            sources, _ = find_nvidia(root, present)
        except UnreadableError:
            return  # asleep
        for source in sources:
            found.append(_row(nvml, source.description.product, source.description.facts))
            source.close()

    thread = threading.Thread(target=ask, name="cards", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    return [] if thread.is_alive() else found


def _row(nvml: Any, name: str, facts: dict[str, float]) -> dict[str, str]:
    row = {"name": name}
    try:
        driver = nvml.nvmlSystemGetDriverVersion()
        row["driver"] = driver.decode() if isinstance(driver, bytes) else str(driver)
    except Exception:  # whatever a library lacks, the card has its name
        row.pop("driver", None)
    shown = {
        "memory_mib": ("memory_bytes", 2.0**-20, ".0f"),
        "power_limit_w": ("power_limit_w", 1.0, ".2f"),
        "max_sm_clock_mhz": ("sm_clock_max_mhz", 1.0, ".0f"),
    }
    return row | {
        key: format(facts[fact] * factor, how)
        for key, (fact, factor, how) in shown.items()
        if fact in facts
    }
