"""Open loop at 2,000 Poisson arrivals a second: when is each request really sent?

    python tests/performance/run_open_loop.py [--rate 2000] [--seconds 10] [--repeat 3] [--realtime]

The arrivals are drawn as for a scenario and sent by the load's own schedule and sender over the
kernel-stamped transport, to the compiled null server, which answers at once. Printed: how late the
requests were sent, and whether the gaps still follow the exponential law (Kolmogorov-Smirnov): all
gaps as planned, which is the law of the draw; and those between the sends in windows of 1,000, the
median p of which is shown, for one thread cannot send two requests within some 20 us, which a test
on ten thousand gaps sees. Required on an idle machine: send delay p99 of 1 ms at most, and p of
0.01 at least. On a busy machine `--realtime` (as root) gives the client its core whenever it wants
it; its caches are still shared.

Needs Linux, gcc and scipy. The machine's load average is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from run_startup import MODEL
from scipy.stats import kstest
from transport_bench import CLIENT_CORE, Bench, pin

from bench.address import Address
from bench.clock import NS, RealClock
from bench.load.measure import put_on
from bench.load.observer import Silent
from bench.load.requests import RequestMaker
from bench.load.sender import Sender, Surroundings
from bench.load.stop import Stop
from bench.load.watch import quiet
from bench.load.workload import BlockWorkload
from bench.results.record import RequestRecord
from bench.scenario.arrivals import ArrivalTimes, arrival_offsets_ns
from bench.scenario.plan import Arrivals, Block, Case, Load, Plan, PromptSpec, Target
from bench.scenario.prompts import prompt_source
from bench.wire.transports import choose_transport, run_measuring

HEAD_START_NS = NS // 5
WINDOW = 1000


def plan_of(args: argparse.Namespace, url: str) -> Plan:
    load = Load("open", rate_per_s=args.rate, arrivals=Arrivals("poisson"), duration_s=args.seconds)
    case = Case(
        id="open",
        axes={},
        target="here",
        model=MODEL,
        endpoint="chat",
        stream=False,
        options={"num_ctx": 4096, "num_predict": 16},
        think=False,
        keep_alive="5m",
        prompts=PromptSpec(inline=("Hello",)),
        load=load,
        warmup=0,
    )
    return Plan(
        name="open",
        description="",
        tags=(),
        source="",
        scenario={},
        targets=(Target("here", url),),
        cases=(case,),
        blocks=(Block(0, "open", 0, seed=args.seed),),
        seed=args.seed,
        salt=1,
    )


async def send_all(args: argparse.Namespace) -> dict[str, Any]:
    """One block, as a run sends it, but for the journal."""
    url = f"http://127.0.0.1:{args.port}"
    plan = plan_of(args, url)
    [case], [block] = plan.cases, plan.blocks
    offsets = arrival_offsets_ns(case.load, block.seed).tolist()
    transport, _ = choose_transport(Address.parse(url, environ={}))
    await transport.open(64)
    clock, records = RealClock(), list[RequestRecord]()
    around = Surroundings(clock, clock.now_ns(), records.append, Silent(), Stop())
    sender = Sender(case, block, transport, around)
    make = RequestMaker(case, block, prompt_source(case, plan))
    with quiet():
        arrivals = ArrivalTimes([], offsets, [])
        load = BlockWorkload(make, arrivals=arrivals)
        measured = await put_on(sender, load, clock.now_ns() + HEAD_START_NS)
    await transport.aclose()
    records.sort(key=lambda r: r.planned_ns or 0)
    return {
        "planned": [r.planned_ns for r in records],
        "sent": [r.sent_ns for r in records],
        "bad": sum(r.outcome != "ok" for r in records),
        "dropped": measured.dropped,
        "cpu_share": measured.health.cpu_share,
        "lag_p99_ms": measured.health.loop_lag_p99_ms,
    }


def tell(found: dict[str, Any], rate: float) -> dict[str, float]:
    """Print and return the figures of one repeat."""
    planned, sent = np.array(found["planned"]), np.array(found["sent"])
    late_ms = (sent - planned) / 1e6
    p50, p99 = np.percentile(late_ms, [50, 99])
    law = (0, 1 / rate)
    as_planned = kstest(np.diff(planned) / NS, "expon", args=law).pvalue
    gaps = np.diff(np.sort(sent)) / NS
    windows = np.split(gaps, range(WINDOW, len(gaps), WINDOW))[:-1]
    tests = [kstest(w, "expon", args=law) for w in windows]
    as_sent = float(np.median([t.pvalue for t in tests]))
    distance = float(np.median([t.statistic for t in tests]))
    span_s = (planned[-1] - planned[0]) / NS
    print(
        f"{len(sent):,} sent, {found['bad']} bad, {found['dropped']} dropped, "
        f"{(len(sent) - 1) / span_s:,.0f}/s; send delay p50 {p50:.3f} p99 {p99:.3f} "
        f"max {late_ms.max():.3f} ms; KS p as planned {as_planned:.3f}, as sent {as_sent:.3f} "
        f"(D {distance:.3f}); loop lag p99 {found['lag_p99_ms']:.2f} ms; "
        f"CPU {found['cpu_share']:.0%}"
    )
    return {"p99": float(p99), "p": as_sent}


def prepare(realtime: bool) -> None:
    """Give this process its core, and the right to it."""
    pin(CLIENT_CORE)
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--realtime", action="store_true", help="needs root")
    parser.add_argument("--port", type=int, help="send to this server, print JSON and end")
    args = parser.parse_args()
    if args.port:
        print(json.dumps(run_measuring(send_all(args))))
        return
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), quick=False)
        figures = []
        for number in range(args.repeat):
            with bench.server(tokens=1, gap_us=0) as port:
                chosen = ["--rate", str(args.rate), "--seconds", str(args.seconds)]
                chosen += ["--port", str(port), "--seed", str(args.seed + number)]
                done = subprocess.run(
                    [sys.executable, __file__, *chosen],
                    check=True,
                    stdout=subprocess.PIPE,
                    preexec_fn=lambda: prepare(args.realtime),
                )
            figures.append(tell(json.loads(done.stdout), args.rate))
    p99 = sorted(f["p99"] for f in figures)
    law = sorted(f["p"] for f in figures)
    print(f"KS p as sent: median {law[len(law) // 2]:.3f} (bar 0.01)")
    middle = p99[len(p99) // 2]
    print(f"send delay p99: median {middle:.3f} ms, {p99[0]:.3f} to {p99[-1]:.3f} (bar 1 ms)")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
