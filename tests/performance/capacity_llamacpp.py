"""Fit, simulate, measure on a real engine: llama.cpp with a small model, one thread.

    python tests/performance/capacity_llamacpp.py [-o DIR] [--requests 120] [--repeat 1] [--nice 0]

A profile is fitted to one closed-loop run on a server with two slots; then servers with one, two
and four slots get Poisson arrivals at half and at 0.8 of what the fit says they can do at most. The
same arrivals are replayed on the fitted model. Printed: predicted / measured TTFT p50 and p95 (and
what the p95 would be at the ends of the measured one's interval) and throughput. Fails if one is
off by more than 30 %; look at the interval, and at how the pace wandered, before you believe it.

With `-o DIR` the runs are kept there, and those already there are not made again. It takes some 15
minutes, and the engine wants a core for itself: the load average is printed, and `--nice` (below 0
only as root) gives the engine precedence over whatever else runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fit_check import compare

import bench
from bench.commands.fitting import FittedProfile, fit_run
from bench.load.session import Settings
from bench.server.embedded import start_server
from bench.server.llamacpp.models import DEMO_MODEL
from bench.simulation.fleet import Workload, simulate_fleet

FITTED_SLOTS = 2
CLOSED = {"closed": {"users": [1, 2, 4], "requests": 40}}
MEASURED = tuple((slots, use) for slots in (1, 2, 4) for use in (0.5, 0.8))
MOST_OFF = 0.30

SCENARIO = {
    "schema": 1,
    "options": {"num_ctx": 1024, "num_predict": 48, "temperature": 0.7, "seed": 7},
    "think": False,
    "prompts": {"synthetic": {"input_tokens": {"lognormal": {"median": 100, "p95": 300}}}},
    "warmup": 2,
    "blocks": 1,
}


def measure(folder: Path, slots: int, nice: int, load: dict[str, object]) -> Path:
    """The run kept in the folder, or a new one."""
    made = sorted(folder.glob("*/summary.json"))
    if made:
        return made[-1].parent
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "scenario.yaml"
    YAML().dump(SCENARIO | {"name": folder.name, "load": load}, file)
    with start_server("llama.cpp", num_parallel=slots, threads=1) as server:
        psutil.Process(server.pid).nice(nice)
        run = bench.run(
            file,
            models=[DEMO_MODEL],
            hosts=[server.url],
            settings=Settings(output=folder),
            report=False,
        )
    return run.path


def most_per_s(fitted: FittedProfile, slots: int) -> float:
    """Requests per second that the fitted model serves when a thousand come at once."""
    lengths = np.array(fitted.document["fitted"]["lengths"])
    lengths = lengths[np.random.default_rng(0).integers(0, len(lengths), 1000)]
    together = Workload(np.zeros(1000, dtype=np.int64), lengths[:, 0], lengths[:, 1])
    served = simulate_fleet(replace(fitted.fit.parameters, slots=slots), together)
    return 1000 / (float(served.end_ns.max()) / 1e9)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--requests", type=int, default=120)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("OLLAMA_BENCH_HISTORY", "off")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.output or Path(temporary)
        run = measure(folder / "fit", FITTED_SLOTS, asked.nice, CLOSED)
        fitted = fit_run(run, slots=FITTED_SLOTS)
        p = fitted.fit.parameters
        print(
            f"fitted to {fitted.fit.requests} requests: prefill {1e9 / p.prefill_ns_per_token:.0f} "
            f"tok/s, step {p.base_ns / 1e6:.1f} ms + {p.per_sequence_ns / 1e6:.1f} ms a sequence + "
            f"{p.per_token_ns / 1e3:.2f} ms per 1,000 tokens of context, jitter {p.jitter:.2f}, "
            f"overhead {fitted.fit.overhead_ns / 1e6:.1f} ms; error {fitted.fit.decode_error:.1%}, "
            f"pace wandered by {fitted.fit.pace:.0%}",
            flush=True,
        )
        failed = False
        for repeat in range(asked.repeat):
            for slots, use in MEASURED:
                rate = float(f"{use * most_per_s(fitted, slots):.3g}")
                load: dict[str, object] = {"open": {"rate": rate, "requests": asked.requests}}
                kept = folder / f"slots-{slots}-use-{use}-{repeat}"
                compared = compare(fitted.fit, slots, measure(kept, slots, asked.nice, load))
                print(
                    f"{slots} slots, {rate:g}/s ({use:.0%} of most): {compared}; "
                    f"load average {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                failed |= not compared.within(MOST_OFF)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
