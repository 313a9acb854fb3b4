"""What the server's machine draws, and how fast it reads memory, while nothing is asked of it.

Both are measured once, when the first model is loaded and before anything is sent: idle power
only where power can be read, memory only where the CPU holds (a part of) the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from bench.results.run import Residency, TargetInfo
from bench.telemetry.energy import Energy, device_energy, power_devices
from bench.telemetry.sampling import Telemetry

SETTLE_S: Final = 3.0
"""After loading, clocks are still high for a moment."""
IDLE_S: Final = 10.0
EDGE_NS: Final = 500_000_000
"""The last of it only covers the end of what is measured with samples beyond it."""
_LOOK_S: Final = 1.5
"""So long is waited for a source that reports power."""
_STEP_S: Final = 0.1


async def machine_at_rest(
    telemetry: Telemetry,
    name: str,
    target: TargetInfo,
    loaded: Residency | None,
    now_ns: Callable[[], int],
) -> dict[str, Any]:
    """For the run's environment: `idle` and `memory_bandwidth`, as far as they can be had.

    `loaded` is where the model is; None = not known.
    """
    if target.simulated or not telemetry.watches(name):
        return {}
    telemetry.start()
    found: dict[str, Any] = {}
    on_gpu = loaded is not None and (loaded.gpu_share or 0.0) >= 1.0
    if target.same_host and not on_gpu:
        found |= await asyncio.to_thread(_bandwidth)
    if await _power_is_read(telemetry, name):
        await asyncio.sleep(SETTLE_S)
        start_ns = now_ns()
        await asyncio.sleep(IDLE_S)
        end_ns = now_ns() - EDGE_NS
        state = "model loaded" if loaded is not None and loaded.loaded else "model not loaded"
        found["idle"] = {
            "target": name,
            "seconds": round((end_ns - start_ns) / 1e9, 1),
            "state": f"{state}, no request",
            "devices": idle_power(telemetry, name, start_ns, end_ns),
        }
    return found


async def _power_is_read(telemetry: Telemetry, name: str) -> bool:
    for _ in range(round(_LOOK_S / _STEP_S)):
        if telemetry.watts_can_be_read(name):
            return True
        await asyncio.sleep(_STEP_S)
    return False


def idle_power(
    telemetry: Telemetry, name: str, start_ns: int, end_ns: int
) -> dict[str, dict[str, float]]:
    """Watts of each device over a window without requests, and how far they may be wrong.

    The error is one tick at each end, and half of what the halves of the window differ by.
    """
    samples = telemetry.between(name, start_ns - EDGE_NS, end_ns + EDGE_NS, 0)
    found = {}
    middle = (start_ns + end_ns) // 2
    for device in power_devices(list(samples)):
        whole = device_energy(samples, device, start_ns, end_ns)
        halves = [
            device_energy(samples, device, a, b) for a, b in ((start_ns, middle), (middle, end_ns))
        ]
        if not isinstance(whole, Energy):
            continue
        half_watts = [h.watts for h in halves if isinstance(h, Energy)]
        drift = (max(half_watts) - min(half_watts)) / 2 if len(half_watts) == 2 else 0.0
        found[device] = {"watts": whole.watts, "error_w": whole.error_j / whole.seconds + drift}
    return found


def _bandwidth() -> dict[str, Any]:
    from bench.telemetry.bandwidth import measure_read_speed

    try:
        return {"memory_bandwidth": [asdict(s) for s in measure_read_speed()]}
    except (MemoryError, OSError, RuntimeError):
        return {}
