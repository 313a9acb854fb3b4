"""What `gpu_check.sh` runs: cards as they are found, then a run with energy, power and roofline."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import bench
from bench.telemetry import finding
from bench.telemetry.energy import Energy, counted_energy, integrated_energy, power_devices
from bench.telemetry.nvidia import find_nvidia
from bench.telemetry.sampling import Telemetry

PLANTED = bool(os.environ.get("PLANTED_NVML"))
WATCH_S = 12.0
MODEL_LAYERS = 999
SCENARIO = {
    "schema": 1,
    "name": "gpu-check",
    "endpoint": "generate",
    "options": {"num_ctx": 2048, "temperature": 0, "num_predict": 128, "num_gpu": MODEL_LAYERS},
    "prompts": {"synthetic": {"input_tokens": 200}, "cache": "bust"},
    "load": {"closed": {"users": 1, "duration": "12s"}},
    "warmup": 1,
    "blocks": 3,
    "price": ["0.30 EUR/kWh"],
}


def plant() -> None:
    """Set the planted card up, and let its time pass."""
    lib = ctypes.CDLL("libnvidia-ml.so.1", mode=ctypes.RTLD_GLOBAL)
    ctypes.c_int.in_dll(lib, "cards").value = 1
    ctypes.c_int.in_dll(lib, "processes").value = 1
    ctypes.c_longlong.in_dll(lib, "tick_ns").value = 20_000_000
    ctypes.c_double.in_dll(lib, "base_w").value = 200.0
    ctypes.c_double.in_dll(lib, "period_s").value = 3.0
    ctypes.c_ulonglong.in_dll(lib, "process_bytes").value = 3 << 30
    (ctypes.c_char * 64).in_dll(lib, "card_name").value = b"Planted Card"
    now = ctypes.c_longlong.in_dll(lib, "now_ns")

    def pass_time() -> None:
        while True:
            now.value = time.monotonic_ns()
            time.sleep(0.002)

    threading.Thread(target=pass_time, daemon=True).start()
    present = partial(find_nvidia, present=lambda: True)
    known = finding._finders
    finding._finders = lambda: known() | {"nvidia": present}


def watch() -> None:
    """Every source once, and counter against added-up power."""
    finder = partial(find_nvidia, present=lambda: True) if PLANTED else find_nvidia
    telemetry = Telemetry({"nvidia": finder}, time.monotonic_ns)
    start = time.monotonic_ns()
    telemetry.start()
    time.sleep(WATCH_S)
    end = time.monotonic_ns() - 1_000_000_000
    samples = telemetry.between("here", 0, 2**62, 0)
    told = telemetry.status()
    telemetry.close()
    for source in told["sources"]:
        print(source["name"], source["what"], source["facts"])
        for what, why in source["blind"].items():
            print(f"  not seen: {what}: {why}")
    print("not measurable:", told["not_measurable"])
    print(f"cost: {told['cost_of_a_core']:.2%} of a core")
    for name, values in samples.items():
        print(f"  {name}: {len(values)} samples, {values[0][1]:.6g} to {values[-1][1]:.6g}")
    for device in power_devices(list(samples)):
        counted = counted_energy(samples.get(f"{device}_energy_j", ()), start + 2_000_000_000, end)
        added = integrated_energy(samples.get(f"{device}_power_w", ()), start + 2_000_000_000, end)
        print(f"  {device}: counter {counted}, added up {added}")
        if isinstance(counted, Energy) and isinstance(added, Energy):
            print(f"  {device}: counter / added-up power = {counted.joules / added.joules:.3f}")


def run(folder: Path) -> None:
    """A real model under the embedded engine; on the GPU if its wheel can."""
    with bench.start_server("llama.cpp") as server:
        done = bench.run(
            SCENARIO,
            models=["smollm2:135m"],
            hosts=[server.url],
            settings=bench.Settings(output=folder / "runs", history=None),
        )
    (case,) = done.summary.cases
    print("on the GPU:", case.metrics["gpu_share"].stats or case.metrics["gpu_share"].note)
    ids = ("decode_tok_per_s", "gpu_power_w", "j_per_token", "j_per_token_above_idle")
    for id in (*ids, "j_per_request", "wh_per_mtok", "cost_per_mtok", "mem_bw_share"):
        metric = case.metrics[id]
        found = metric.stats.get("value")
        said = f"{found.value} ({found.low} to {found.high})" if found else "-"
        print(f"{id}: {said} {metric.unit}; {metric.note}")
    print("idle:", done.info.environment.get("idle"))
    print("memory:", done.info.environment.get("memory_bandwidth"))
    print(case.roofline)
    for warning in done.summary.warnings:
        print("warning:", warning.code, warning.message)
    print(done.report)


if __name__ == "__main__":
    begun = time.monotonic()
    if PLANTED:
        plant()
    watch()
    run(Path(sys.argv[1]))
    print(f"{time.monotonic() - begun:.0f} s")
