"""How long it takes to simulate a large fleet: 1,000 servers, 1,000,000 requests on one core.

    python tests/performance/capacity_fleet.py [REQUESTS] [SERVERS]

Prints processor seconds and the peak memory of this process, for each way of routing, and fails if
one takes 60 s or more, or 2 GB or more.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from bench.simulation.fleet import Routing, Workload, simulate_fleet
from bench.simulation.profile import load_profile

MOST_S = 60.0
MOST_BYTES = 2e9
ROUTINGS: tuple[Routing, ...] = ("least-loaded", "round-robin", "prefix-affine")


def workload(n: int, servers: int) -> Workload:
    """Conversations of five turns on average that come to 0.7 requests a second and server."""
    rng = np.random.default_rng(0)
    prompts = rng.integers(50, 600, n)
    return Workload(
        at_ns=np.cumsum(rng.exponential(1e9 / (0.7 * servers), n)).astype(np.int64),
        prompt_n=prompts,
        output_n=rng.integers(50, 250, n),
        # Drawn: numbers in turn would make prefix-affine routing the same as round-robin.
        conversation=rng.integers(0, max(1, n // 5), n),
        shared_n=np.minimum(prompts - 1, 100),
    )


def main() -> int:
    n, servers = (int(a) for a in (*sys.argv[1:3], *("1000000", "1000")[len(sys.argv) - 1 :]))
    parameters = load_profile("gpu-12gb").models[0].service(slots=4, batch_tokens=512, slowdown=1)
    work = workload(n, servers)
    failed = False
    for routing in ROUTINGS:
        begin = time.process_time()
        result = simulate_fleet(parameters, work, servers=servers, routing=routing)
        took_s = time.process_time() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        hours = float(result.end_ns.max()) / 3.6e12
        print(
            f"{routing:14} {n:,} requests, {servers:,} servers: {took_s:.1f} s of one core, "
            f"{took_s / n * 1e6:.0f} us a request, {hours * servers / took_s * 60:,.0f} server "
            f"hours a minute, peak {peak / 1e9:.2f} GB, TTFT p95 "
            f"{np.quantile(result.ttft_s, 0.95):.3f} s",
            flush=True,
        )
        failed |= took_s >= MOST_S or peak >= MOST_BYTES
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
