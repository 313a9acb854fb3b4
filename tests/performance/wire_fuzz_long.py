"""Wrong replies by the ten thousand: none may hang, end in a traceback or fill the memory.

python tests/performance/wire_fuzz_long.py [--replies N] [--control N] [--seconds S] [--seed N]

Replies are read without a socket, then over sockets by every transport, in http and https, then
endless and dripping ones; control replies over http. Stops early when the time is up, and says how
far it came. Ends with 1 if anything did not hold, or memory went over 300 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

import wire_endless
import wire_fuzz

from bench.address import Address
from bench.ollama import control_calls
from bench.wire.exchange import Transport
from bench.wire.transports import choose_transport

MEMORY_MIB = 300


def make(name: str, where: int | str, **more: Any) -> Transport:
    """A transport, as the tests make it."""
    url = where if isinstance(where, str) else f"http://127.0.0.1:{where}"
    return choose_transport(Address.parse(url, environ={}, **more), name)[0]


def over_sockets(name: str, tls: bool) -> Callable[[int, int], wire_fuzz.Figures]:
    """A stage over one way."""

    def stage(n: int, seed: int) -> wire_fuzz.Figures:
        async def main() -> wire_fuzz.Figures:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            return await wire_fuzz.exchange_replies(name, tls, n, seed, make)

        return asyncio.run(main())

    return stage


async def never_ending(names: list[tuple[str, bool]]) -> wire_fuzz.Figures:
    """Every endless reply by every way, with the shipped limits."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    total = wire_fuzz.Figures()
    for name, tls in names:
        found = await wire_endless.exchange_endless(name, tls, make, _TOTAL_S)
        total.tried += found.tried
        total.outcomes.update(found.outcomes)
        total.faults += [f"{name}, {'https' if tls else 'http'}: {f}" for f in found.faults]
    return total


_TOTAL_S = 5.0


def main() -> int:
    """Run the stages in rounds until all is done or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", type=int, default=50_000)
    parser.add_argument("--control", type=int, default=6_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=13)
    asked = parser.parse_args()
    control_calls._PAUSES_S = (0.0, 0.0, 0.0)
    control_calls._LONGEST_PAUSE_S = 0.0
    names = [("user", False), ("user", True), ("httpx", False), ("httpx", True)]
    names += [("kernel", False)] if sys.platform == "linux" else []
    share = asked.replies // (len(names) + 5)
    stages: list[tuple[str, Callable[[int, int], wire_fuzz.Figures], int]] = [
        ("without a socket", wire_fuzz.read_replies, asked.replies - share * len(names)),
        *((f"{n}, {'https' if t else 'http'}", over_sockets(n, t), share // 2) for n, t in names),
        ("endless and dripping", lambda n, seed: asyncio.run(never_ending(names)), 1),
        (
            "control replies",
            lambda n, seed: asyncio.run(wire_fuzz.ask_control(n, seed)),
            asked.control,
        ),
    ]
    ends = time.monotonic() + asked.seconds
    failed = False
    for name, stage, wanted in stages:
        total = wire_fuzz.Figures()
        round_ = 0
        while wanted > 0 and time.monotonic() < ends:
            n = min(wanted, 500)
            found = stage(n, asked.seed + round_)
            wanted -= n
            round_ += 1
            total.tried += found.tried
            total.outcomes.update(found.outcomes)
            total.faults += found.faults
        print(f"{name}: {total}" + (f"; {wanted} left for want of time" if wanted else ""))
        for fault in total.faults[:3]:
            print(f"  {fault[:500]}")
        failed |= bool(total.faults)
    unit = 1024 if sys.platform == "linux" else 1024 * 1024
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return int(failed or memory_mib > MEMORY_MIB)


if __name__ == "__main__":
    sys.exit(main())
