"""How fast this machine reads memory: measured on the CPU, looked up or computed for a GPU.

The CPU test reads an array that no cache holds, as decoding reads weights, and writes nothing: its
largest element, and the product of its halves. Pages are touched first, and the best of several
passes counts (as in STREAM, J. D. McCalpin, "Memory Bandwidth and Machine Balance", 1995).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.cores import usable_cpus
from bench.telemetry.files import text_in

_PASSES = 9
_CACHES = 4
_LEAST_BYTES = 128 * 2**20
_MOST_BYTES = 2**30
_CACHE_UNKNOWN = 64 * 2**20
_FREE_PART = 8


@dataclass(frozen=True, slots=True)
class ReadSpeed:
    """What so many threads read together.

    Attributes:
        bytes_per_s: of the best pass.
        spread: (best - median) / best over the passes: how sure it is.
    """

    threads: int
    bytes_per_s: float
    spread: float


def measure_read_speed(threads: int | None = None) -> list[ReadSpeed]:
    """Reads memory with one thread, then with all; about half a second in all.

    Raises:
        MemoryError: too little is free.
    """
    most = threads or usable_cpus()
    data = touched_array()
    found = []
    with ThreadPoolExecutor(most) as pool:
        for count, ways in passes(pool, data, most):
            for read in ways:
                took = []
                for _ in range(_PASSES):
                    start = time.perf_counter()
                    read()
                    took.append(time.perf_counter() - start)
                took.sort()
                spread = 1 - took[0] / took[len(took) // 2]
                found.append(ReadSpeed(count, data.nbytes / took[0], spread))
    best = max(found[1:], key=lambda s: s.bytes_per_s)
    return [found[0], best] if most > 1 else [replace(best, threads=1)]


def touched_array() -> Any:
    """The array that is read, its pages touched.

    Raises:
        MemoryError: too little is free.
    """
    import numpy as np  # late: not needed before something is measured

    return np.ones(_array_bytes() // 4, dtype=np.float32)


def passes(
    pool: Executor, data: Any, most: int
) -> Iterator[tuple[int, tuple[Callable[[], object], ...]]]:
    """How often the array is split, and the ways of reading all of it once."""
    import numpy as np

    def largest(part: Any) -> float:  # as integers: no search for NaN, which takes a fifth more
        return float(np.max(part.view(np.int32)))

    def product(part: Any) -> float:  # the quicker of the two, but it may use every core by itself
        half = len(part) // 2
        return float(np.dot(part[:half], part[half : 2 * half]))

    for count, ways in ((1, (largest,)), (most, (largest, product))):
        parts = np.array_split(data, count)
        yield count, tuple(partial(_each, pool, way, parts) for way in ways)


def _each(pool: Executor, way: Callable[[Any], float], parts: list[Any]) -> list[float]:
    return list(pool.map(way, parts))


def _array_bytes() -> int:
    import psutil

    wanted = min(max(_LEAST_BYTES, _CACHES * _cache_bytes()), _MOST_BYTES)
    free = psutil.virtual_memory().available // _FREE_PART
    if free < _LEAST_BYTES:
        raise MemoryError("too little memory is free for a test of its speed")
    return min(wanted, free)


def _cache_bytes(root: Path = Path("/")) -> int:
    """The largest cache of the first CPU."""
    files = (root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [re.fullmatch(r"(\d+)([KM])", text_in(file)) for file in files]
    sizes = [int(m[1]) * {"K": 2**10, "M": 2**20}[m[2]] for m in found if m]
    return max(sizes, default=_CACHE_UNKNOWN)
