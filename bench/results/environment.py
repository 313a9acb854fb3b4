"""The machine a run was made on, as far as it can be read without privileges.

Nothing that names a person or a host on a network is collected. Everything is optional: what cannot
be read is left out.
"""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bench._version import __version__
from bench.cores import usable_cpus
from bench.hidden import CLIENT_SETTINGS, scrub

_NVIDIA_FIELDS = {"name": "name", "driver_version": "driver", "memory.total": "memory_mib"}
"""What `nvidia-smi` is asked for without `nvidia-ml-py`: its power fields change their names."""
_TOOL_TIMEOUT_S = 5.0


def collect_environment() -> dict[str, Any]:
    """Host, operating system, Python and GPUs, as a JSON-ready mapping.

    Keys: `os`, `python`, `ollama_bench`, `cpu` {model, cores, threads, usable_threads (within the
    process's affinity and its container's quota), governor?, load_1m?}, `memory_bytes`, `gpus`
    [{name, driver, memory_mib, ...}], `settings` (those of Ollama's environment variables that are
    known to hold no secret, as this process sees them; a server may have others).
    """
    return {
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "ollama_bench": __version__,
        "cpu": _cpu(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": collect_gpus(),
        "settings": {k: scrub(v) for k, v in sorted(os.environ.items()) if k in CLIENT_SETTINGS},
    }


def collect_gpus() -> list[dict[str, Any]]:
    """GPUs that NVML (without `nvidia-ml-py`: `nvidia-smi`) or `rocm-smi` name, each in time."""
    from bench.telemetry.cards import nvidia_cards  # late: most machines have none

    cards = nvidia_cards()
    return (_nvidia_gpus() if cards is None else cards) or _amd_gpus()


def _cpu() -> dict[str, Any]:
    cpu: dict[str, Any] = {
        "model": _cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(logical=True),
        "usable_threads": usable_cpus(),
    }
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with suppress(OSError):
        cpu["governor"] = governor.read_text(errors="replace").strip()
    if hasattr(os, "getloadavg"):
        with suppress(OSError):
            cpu["load_1m"] = round(os.getloadavg()[0], 2)
    return cpu


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    with suppress(OSError):
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
            command, capture_output=True, errors="replace", timeout=_TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
