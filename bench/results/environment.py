"""The machine a run was made on, as far as it can be read without privileges.

Nothing that names a person or a host on a network is collected. Everything is optional: what cannot
be read is left out.
"""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

import bench
from bench.ollama.secret_names import is_secret

_NVIDIA_FIELDS = {
    "name": "name",
    "driver_version": "driver",
    "memory.total": "memory_mib",
    "power.limit": "power_limit_w",
    "clocks.max.sm": "max_sm_clock_mhz",
}
_TOOL_TIMEOUT_S = 5.0


def collect_environment() -> dict[str, Any]:
    """Host, operating system, Python and GPUs, as a JSON-ready mapping.

    Keys: `os`, `python`, `ollama_bench`, `cpu` {model, cores, threads, governor?, load_1m?},
    `memory_bytes`, `gpus` [{name, driver, memory_mib, ...}], `settings` (Ollama's environment
    variables as this process sees them; a server may have others).
    """
    return {
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "ollama_bench": bench.__version__,
        "cpu": _cpu(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": collect_gpus(),
        "settings": {k: v for k, v in sorted(os.environ.items()) if _is_setting(k)},
    }


def collect_gpus() -> list[dict[str, Any]]:
    """GPUs that `nvidia-smi` or `rocm-smi` name; empty where neither is installed."""
    return _nvidia_gpus() or _amd_gpus()


def _is_setting(name: str) -> bool:
    ours = name.startswith("OLLAMA_BENCH_")  # says nothing of the server
    private = is_secret(name) or any(word in name for word in ("HOST", "ORIGINS"))
    return name.startswith("OLLAMA_") and not ours and not private


def _cpu() -> dict[str, Any]:
    cpu: dict[str, Any] = {
        "model": _cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(logical=True),
    }
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.is_file():
        cpu["governor"] = governor.read_text().strip()
    if hasattr(os, "getloadavg"):
        cpu["load_1m"] = round(os.getloadavg()[0], 2)
    return cpu


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        return _ask("sysctl", "-n", "machdep.cpu.brand_string").strip()
    return platform.processor()


def _nvidia_gpus() -> list[dict[str, Any]]:
    table = _ask(
        "nvidia-smi", f"--query-gpu={','.join(_NVIDIA_FIELDS)}", "--format=csv,noheader,nounits"
    )
    rows = csv.reader(table.splitlines(), skipinitialspace=True)
    keys = list(_NVIDIA_FIELDS.values())
    return [dict(zip(keys, row, strict=True)) for row in rows if len(row) == len(keys)]


def _amd_gpus() -> list[dict[str, Any]]:
    table = _ask("rocm-smi", "--showproductname", "--showdriverversion", "--csv")
    return [
        {"name": row.get("Card series") or row.get("Card Series") or row.get("device", "")}
        for row in csv.DictReader(table.splitlines())
        if row.get("device", "").startswith("card")
    ]


def _ask(*command: str) -> str:
    """What a tool prints, or "" if it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
