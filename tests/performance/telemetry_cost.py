"""What telemetry costs: CPU time of all sources, counters read 10 times a second.

Usage: python tests/performance/telemetry_cost.py [SECONDS]

With gcc a planted NVIDIA card is read through the real pynvml; then this machine's own sources.
Last the error of the client's stamps at 10,000 chunks a second, without and with sampling.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.doctor.self_test import EXACT_MS, run_self_test
from bench.telemetry.finding import KINDS, find_machine, open_telemetry
from bench.telemetry.nvidia import find_nvidia
from bench.telemetry.sampling import Recorder, Telemetry
from bench.wire.transports import run_measuring

BAR = 0.01


def planted_nvml(folder: Path) -> None:
    source = Path(__file__).parents[1] / "support/fake_nvml.c"
    made = folder / "libnvidia-ml.so.1"
    soname = f"-Wl,-soname,{made.name}"
    command = ["gcc", "-shared", "-fPIC", "-O1", soname, "-o", made, source, "-lm"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(made), mode=ctypes.RTLD_GLOBAL)
    ctypes.c_int.in_dll(library, "cards").value = 1
    ctypes.c_longlong.in_dll(library, "tick_ns").value = 20_000_000
    ctypes.c_double.in_dll(library, "period_s").value = 3.0
    (ctypes.c_char * 64).in_dll(library, "card_name").value = b"Planted Card"


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        planted_nvml(Path(folder))
        cards, _ = find_nvidia(present=lambda: True)
        recorder = Recorder(cards[0], time.monotonic_ns)
        start = time.thread_time_ns()
        for _ in range(1000):
            recorder.take()
        each_us = (time.thread_time_ns() - start) / 1e6
        print(f"one whole reading of an NVIDIA card: {each_us:.0f} us; 10 a second: ", end="")
        print(
            f"{each_us / 1e6 * 10:.2%} of a core (bar {BAR:.0%}), the driver's own time not counted"
        )
        finders = {"nvidia": partial(find_nvidia, present=lambda: True)}
        for name, telemetry in (
            ("the planted card", Telemetry(finders, time.monotonic_ns)),
            ("this machine", open_telemetry(KINDS, time.monotonic_ns, {"here": 0}, {})),
        ):
            before = os.times()
            telemetry.start()
            time.sleep(seconds)
            told = telemetry.status()
            telemetry.close()
            after = os.times()
            spent = after.user + after.system - before.user - before.system
            print(f"{name}: {told['cost_of_a_core']:.2%} of a core by its own count, ", end="")
            print(f"{spent / seconds:.2%} of the process, imports included; {len(told['sources'])}")
        print("load average", os.getloadavg())
        stamps()


def stamps() -> None:
    """The self-test of `doctor`, whose server notes when it wrote each chunk."""
    sampling = Telemetry(
        {"nvidia": partial(find_nvidia, present=lambda: True), "machine": find_machine},
        time.monotonic_ns,
    )
    for name in ("without", "with"):
        if name == "with":
            sampling.start()
            time.sleep(1)
        test = run_measuring(run_self_test())
        step = next((s for s in test.steps if s.offered_per_s == 10_000), None)
        if step is None:  # it ends where the machine does not keep up any more
            print(f"{name} sampling: too busy here for 10,000 chunks/s", test.steps[-1])
            continue
        print(
            f"stamp error at 10,000 chunks/s {name} sampling: p99 {step.error_p99_ms:.3f} ms, p50 "
            f"{step.error_p50_ms:.3f} (bar {EXACT_MS}); server late {step.server_late_p99_ms:.1f}"
        )
    sampling.close()


if __name__ == "__main__":
    main()
