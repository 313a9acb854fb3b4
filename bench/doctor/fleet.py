"""Looks at the machines of `--load-from`: could they send, and how well?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from bench._version import __version__
from bench.doctor.checkup import DESCRIPTORS, OWN_STAMPS, Finding, Status, judged
from bench.load.fleet.asker import TimeAsker
from bench.load.fleet.clocks import ClockSeen
from bench.load.fleet.dask_cluster import DaskCluster, Spot
from bench.load.fleet.hosting import SpoolAsked

_WATCHED_S = 3.0
_FAR_NS = 5_000_000  # a clock that is known less well than this leaves numbers out in many a run


async def check_fleet(load_from: str) -> list[Finding]:
    """What each machine says of itself, and how well its clock can be known from here."""
    cluster = DaskCluster(load_from)
    try:
        await cluster.open()
        spots = await cluster.spots()
        clocks = await asyncio.gather(*(_clock(cluster, spot) for spot in spots))
        names = ", ".join(spot.name for spot in spots)
        size = f"{len(spots)}, all with {__version__}: {names}"
        found = [Finding("senders", Status.FINE, size), *_open(cluster)]
        for spot, clock in zip(spots, clocks, strict=True):
            found += [*_machine(spot), _clock_finding(spot, clock)]
        left = await cluster.spooled(SpoolAsked())
        return [*found, *_left({(one.run, one.sender) for one in left})]
    finally:
        await cluster.close()


async def _clock(cluster: DaskCluster, spot: Spot) -> ClockSeen | None:
    """Its clock after some seconds of asking; None if its agent cannot be reached from here."""
    place = await cluster.start_agent(spot, "doctor", 0)
    asker = TimeAsker(place, lambda: None)
    if not await asyncio.to_thread(asker.start):
        asker.stop()
        return None
    await asyncio.sleep(_WATCHED_S)
    asker.stop()  # the agent ends when nobody asks any more
    return asker.watch.seen()


def _open(cluster: DaskCluster) -> Iterator[Finding]:
    if cluster.open_to_network:
        yield Finding(
            "scheduler",
            Status.CAUTION,
            f"{cluster.scheduler} takes orders from whoever reaches it, and runs them",
            "Use TLS (see: ollama-bench help fleet), or a network that only you reach.",
        )


def _machine(spot: Spot) -> Iterator[Finding]:
    seen = spot.machine
    load = "" if seen.load_1m is None else f", load {seen.load_1m:.1f}"
    busy = seen.load_1m is not None and seen.load_1m > 0.5 * seen.cores
    cores = (
        str(seen.cores) if seen.usable in (None, seen.cores) else f"{seen.usable} of {seen.cores}"
    )
    said = f"{cores} cores{load}, Python {seen.python}"
    advice = "Other work on it makes it send and read late: stop that."
    yield judged(spot.name, not busy, said, advice)
    if seen.stamps:
        said = f"taken by this program: {seen.stamps}"
        yield Finding(f"{spot.name}, stamps", Status.CAUTION, said, OWN_STAMPS)
    if seen.descriptors is not None and seen.descriptors < DESCRIPTORS:
        yield Finding(
            f"{spot.name}, open files",
            Status.CAUTION,
            f"at most {seen.descriptors:,} a process",
            f"Large loads need more: ulimit -n {DESCRIPTORS} before its Dask worker starts.",
        )


def _clock_finding(spot: Spot, clock: ClockSeen | None) -> Finding:
    what = f"{spot.name}, clock"
    if clock is None:
        return Finding(
            what,
            Status.BAD,
            f"its sender cannot be reached at {spot.host} from here",
            "This machine connects to a port of each sender: let that through the firewall.",
        )
    error_ns = clock.line.error_ns(clock.line.from_ns)
    said = (
        f"known to {error_ns / 1e6:.2g} ms, round trip {clock.shortest_ns / 1e6:.2g} ms "
        f"(median {clock.median_ns / 1e6:.2g} ms)"
    )
    advice = "Latencies are exact all the same; what compares clocks will be wider."
    return judged(what, error_ns <= _FAR_NS, said, advice)


def _left(runs: set[tuple[str, str]]) -> Iterator[Finding]:
    for run, count in sorted(Counter(run for run, _ in runs).items()):
        yield Finding(
            "left behind",
            Status.CAUTION,
            f"records of run {run} lie on {count} of these machines",
            "Run with the same -o and --load-from to fetch them.",
        )
