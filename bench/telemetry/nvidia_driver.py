"""What the kernel's files say of NVIDIA's driver, before the driver itself is asked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from bench.telemetry.files import text_in

_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH


def card_expected(root: Path) -> bool:
    """Whether the machine seems to have a card, without asking the driver."""
    nodes = ("dev/nvidiactl", "dev/dxg", "dev/nvhost-gpu")
    return any((root / n).exists() for n in nodes) or shutil.which("nvidia-smi") is not None


def all_asleep(root: Path) -> bool:
    """Whether every card sleeps; then the driver must not be asked."""
    states = [
        text_in(device / "power/runtime_status")
        for device in (root / "sys/bus/pci/devices").glob("*")
        if text_in(device / "vendor") == "0x10de" and text_in(device / "class").startswith("0x03")
    ]
    return bool(states) and all(state == "suspended" for state in states)


def init_failed(error: Any, root: Path) -> str:
    """Why NVML does not start; both versions after an update without a reboot."""
    if getattr(error, "value", None) != _MISMATCH:
        return str(error)
    kernel = re.search(r"\d+\.\d+(\.\d+)?", text_in(root / "proc/driver/nvidia/version"))
    mapped = re.search(r"libnvidia-ml\.so\.(\d+\.\d[\d.]*)", text_in(root / "proc/self/maps"))
    return (
        f"the driver was updated without a reboot (kernel module {kernel[0] if kernel else '?'}, "
        f"library {mapped[1] if mapped else '?'}): reboot"
    )
