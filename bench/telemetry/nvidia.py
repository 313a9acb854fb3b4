"""NVIDIA cards, through NVML by the package `nvidia-ml-py`. No root is needed.

Source: NVIDIA's NVML API reference. Every call may fail by itself: each is asked once, and what
works is kept. An energy counter (Volta and newer) counts the board, whoever uses it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.telemetry.nvidia_driver import all_asleep, card_expected, init_failed
from bench.telemetry.source import (
    NO_DEVICE_W,
    Description,
    EnergyCounter,
    Found,
    GoneError,
    Source,
    UnreadableError,
    is_blank,
)

Call = Callable[[], float]

_INSTALL = "needs nvidia-ml-py: pip install 'ollama-bench[telemetry]'"
_REASONS = {
    "throttled_thermal": 0x20 | 0x40,
    "throttled_hardware": 0x08 | 0x80,
    "power_capped": 0x04,
}
"""Series (0 or 1) -> bits of the reasons for low clocks. Idle and clocks set by the user are none;
the power cap is the usual state of a card under full load."""
_SPARSE = 5
"""PCIe traffic is read each so many readings."""
_CORE = 0  # NVML_TEMPERATURE_GPU
_GONE = frozenset({15, 16})  # GPU_IS_LOST, RESET_REQUIRED


class NvidiaCard(Source):
    """One physical card, asked through NVML."""

    def __init__(self, nvml: Any, index: int, shared_memory: bool = False) -> None:
        self._nvml = nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        if not handle:  # asking about a null handle would crash
            raise UnreadableError("the driver gives no handle of it")
        name = str(_or_none(lambda: nvml.nvmlDeviceGetName(handle)) or "unnamed card")
        blind: dict[str, str] = {}
        self._calls = self._working(handle, index, blind)
        self._sparse = self._pcie(handle, index, blind)
        self._readings = 0
        self._processes = self._process_call(handle, blind)
        self._reasons = self._reasons_call(handle, blind)
        self._index = index
        self.counters = self._energy(handle, index, blind)
        limit_w = next((c.limit_w for c in self.counters.values()), None)
        self._most_w = 1.2 * (limit_w or NO_DEVICE_W)
        throttles = [f"gpu{index}_{r}" for r in _REASONS] if self._reasons else []
        reads = (*self.counters, *self._calls, *throttles)
        seen = [f"gpu{index}_processes", f"gpu{index}_processes_bytes"] if self._processes else []
        if not reads:
            raise UnreadableError("NVML knows the card, but no reading of it (such as on Jetson)")
        if "GB10" in name and "memory" in blind:
            blind["memory"] = "unified with the machine's memory: see memory_used_bytes"
            self._sparse = {}
            blind["PCIe traffic"] = "the chip reads the machine's memory, not over PCIe"
        if self.counters:
            exactness = "energy by the board's counter, which moves each 20 to 100 ms"
        else:
            exactness = "no energy counter: energy is power added up"
        if shared_memory:
            blind["where pages lie"] = (
                "under Windows a model that counts as wholly on the GPU may lie in shared memory: "
                "what the server calls its share is what it allocated"
            )
        self.description = Description(
            f"nvidia {index}",
            f"{name}{self._shared(handle)}",
            (*reads, *seen, *self._sparse),
            exactness=exactness,
            blind=blind,
            device=f"gpu{index}",
            product=name,
            facts=self._facts(handle),
        )

    def _working(self, handle: Any, index: int, blind: dict[str, str]) -> dict[str, Call]:
        """The gauges that answer, by series; why the others do not."""
        n = self._nvml

        def clock(which: str) -> Call:
            return lambda: n.nvmlDeviceGetClockInfo(handle, getattr(n, f"NVML_CLOCK_{which}"))

        offered: dict[str, tuple[str, Call]] = {
            "share": ("utilisation", lambda: n.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
            "memory_bytes": ("memory", lambda: n.nvmlDeviceGetMemoryInfo(handle).used),
            "power_w": ("power", lambda: n.nvmlDeviceGetPowerUsage(handle) / 1000),
            "temperature_c": ("temperature", lambda: n.nvmlDeviceGetTemperature(handle, _CORE)),
            "sm_clock_mhz": ("SM clock", clock("SM")),
            "memory_clock_mhz": ("memory clock", clock("MEM")),
        }
        found = {}
        for series, (what, call) in offered.items():
            if why := self._why_not(call):
                blind[what] = why
            else:
                found[f"gpu{index}_{series}"] = call
        return found

    def _pcie(self, handle: Any, index: int, blind: dict[str, str]) -> dict[str, Call]:
        """Bytes per second over PCIe. NVML watches the bus for 20 ms a call: read seldom."""
        n = self._nvml
        found: dict[str, Call] = {}
        for way in ("RX", "TX"):
            which = getattr(n, f"NVML_PCIE_UTIL_{way}_BYTES", None)
            if which is None:
                continue
            call = partial(lambda w: n.nvmlDeviceGetPcieThroughput(handle, w) * 1024, which)
            if why := self._why_not(call):
                blind["PCIe traffic"] = why
            else:
                found[f"gpu{index}_pcie_{way.lower()}_bytes_per_s"] = call
        return found

    def _process_call(self, handle: Any, blind: dict[str, str]) -> Callable[[], list[Any]] | None:
        """What computes on the card. PIDs are the host's, also seen from a container."""

        def call() -> list[Any]:
            return list(self._nvml.nvmlDeviceGetComputeRunningProcesses(handle))

        if why := self._why_not(lambda: len(call())):
            blind["processes on the card"] = why
            return None
        return call

    def _facts(self, handle: Any) -> dict[str, float]:
        n = self._nvml
        asked = {
            "bus_width_bits": lambda: n.nvmlDeviceGetMemoryBusWidth(handle),
            "memory_clock_max_mhz": lambda: n.nvmlDeviceGetMaxClockInfo(handle, n.NVML_CLOCK_MEM),
            "sm_clock_max_mhz": lambda: n.nvmlDeviceGetMaxClockInfo(handle, n.NVML_CLOCK_SM),
            "memory_bytes": lambda: n.nvmlDeviceGetMemoryInfo(handle).total,
            "power_limit_w": lambda: n.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        }
        found = {name: _or_none(call) for name, call in asked.items()}
        return {k: float(v) for k, v in found.items() if v and not is_blank(v)}

    def _energy(self, handle: Any, index: int, blind: dict[str, str]) -> dict[str, EnergyCounter]:
        n = self._nvml
        call: Call = lambda: n.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000  # noqa: E731
        if why := self._why_not(call):
            blind["energy counter"] = why
            return {}
        limit = _or_none(lambda: n.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
        read = partial(self._asked, call)
        return {f"gpu{index}_energy_j": EnergyCounter(read, limit_w=limit or None)}

    def _reasons_call(self, handle: Any, blind: dict[str, str]) -> Call | None:
        """The reasons for low clocks; drivers before 535 know the call by its old name only."""
        n, said = self._nvml, ""
        for name in ("ClocksEventReasons", "ClocksThrottleReasons"):
            call = partial(getattr(n, f"nvmlDeviceGetCurrent{name}", _missing), handle)
            if not (why := self._why_not(call)):
                return call
            said = said or why
        blind["throttling"] = said
        return None

    def _shared(self, handle: Any) -> str:
        """What else is counted with it, or that it is no whole card."""
        n, said = self._nvml, ""
        if _or_none(lambda: n.nvmlDeviceGetMigMode(handle)[0]) == 1:
            said += "; MIG: readings are of the whole board, other slices included"
        if _or_none(lambda: n.nvmlDeviceGetVirtualizationMode(handle)):
            said += "; virtual or passed through to a virtual machine"
        return said

    def _why_not(self, call: Call) -> str:
        try:
            value = call()
        except self._nvml.NVMLError as error:
            if getattr(error, "value", None) in _GONE:
                raise GoneError(str(error)) from None
            return str(error)
        except (AttributeError, OSError, UnicodeDecodeError) as error:
            return f"not offered by this driver ({type(error).__name__})"
        return "the driver gives no value" if is_blank(value) else ""

    def _asked(self, call: Call) -> float:
        try:
            return float(call())
        except self._nvml.NVMLError as error:
            if getattr(error, "value", None) in _GONE:
                raise GoneError(f"the card was lost: {error}") from None
            raise UnreadableError(_advised(str(error))) from None

    def gauges(self) -> Mapping[str, float]:
        """What answers now.

        Raises:
            UnreadableError: nothing does.
            GoneError: the card is lost.
        """
        values: dict[str, float] = {}
        why = ""
        for name, call in self._calls.items():
            try:
                values[name] = self._asked(call)
            except GoneError:
                raise
            except UnreadableError as error:
                why = str(error)
        power = f"gpu{self._index}_power_w"
        if values.get(power, 0.0) > self._most_w:
            del values[power]
        if self._reasons is not None:
            with contextlib.suppress(UnreadableError):
                bits = int(self._asked(self._reasons))
                for name, mask in _REASONS.items():
                    values[f"gpu{self._index}_{name}"] = float(bool(bits & mask))
        if self._calls and not values:
            raise UnreadableError(why)
        return values | self._seldom() | self._computing()

    def _seldom(self) -> dict[str, float]:
        self._readings += 1
        if self._readings % _SPARSE:
            return {}
        found = {}
        for name, call in self._sparse.items():
            with contextlib.suppress(UnreadableError):
                found[name] = self._asked(call)
        return found

    def _computing(self) -> dict[str, float]:
        """How many processes compute on the card, and what they hold of its memory, if it says."""
        if self._processes is None:
            return {}
        try:
            found = self._processes()
        except self._nvml.NVMLError:
            return {}
        values = {f"gpu{self._index}_processes": float(len(found))}
        held = [p.usedGpuMemory for p in found]
        if held and all(h is not None and not is_blank(h) for h in held):
            values[f"gpu{self._index}_processes_bytes"] = float(sum(held))
        return values

    def close(self) -> None:
        """Give this card's hold on NVML back."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def find_nvidia(
    root: Path = Path("/"), present: Callable[[], bool] | None = None, platform: str = sys.platform
) -> Found:
    """The NVIDIA cards of this machine, whose kernel's files are below `root`.

    `present` tells whether it seems to have a card; None = look.

    Raises:
        UnreadableError: every card sleeps; NVML would wake them.
    """
    if not (present or partial(card_expected, root))():
        return [], {}
    if all_asleep(root):
        raise UnreadableError("NVIDIA: the card is asleep, and a reading would wake it")
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return [], {"NVIDIA cards": _INSTALL}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return [], {"NVIDIA cards": init_failed(error, root)}
    found: list[Source] = []
    blind: dict[str, str] = {}
    shared_memory = platform == "win32" or (root / "dev/dxg").exists()
    known: set[str] = set()
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                if (uuid := _uuid(nvml, index)) in known:
                    continue  # slices of one board: its readings are the board's
                known |= {uuid} if uuid else set()
                card = NvidiaCard(nvml, index, shared_memory)
            except (nvml.NVMLError, UnreadableError) as error:
                blind[f"nvidia {index}"] = str(error)
                continue
            nvml.nvmlInit()  # NVML counts its users: each card gives its own hold back
            found.append(card)
    except nvml.NVMLError as error:
        blind["NVIDIA cards"] = str(error)
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return found, blind


def _uuid(nvml: Any, index: int) -> str:
    handle = _or_none(lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    found = _or_none(lambda: nvml.nvmlDeviceGetUUID(handle)) if handle else None
    return str(found or "")


def _advised(message: str) -> str:
    """What to do about the error that a container gets when its devices are taken away."""
    return f"{message}: restart the container" if message == "Unknown Error" else message


def _missing(_: Any) -> float:
    raise AttributeError("not in this version of nvidia-ml-py")


def _or_none(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception:  # whatever a description lacks, the card is read without it
        return None
