"""How busy this machine's CPU and GPUs are, sampled once a second beside the run.

The GPUs are asked by one `nvidia-smi` process that lives as long as the run: this process only
reads a line a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process

from bench.clock import Clock

Samples = dict[str, list[tuple[int, float]]]
"""Name -> (time in ns, value). Names that end in `_share` are 0 to 1; others carry their unit."""

_EVERY_S = 1
_FIRST_REQUEST_S = 0.1
_GPU_FIELDS = {
    "utilization.gpu": ("share", 0.01),
    "memory.used": ("memory_bytes", 2.0**20),
    "power.draw": ("power_w", 1.0),
    "temperature.gpu": ("temperature_c", 1.0),
    "clocks.sm": ("sm_clock_mhz", 1.0),
}


class Utilisation:
    """Samples until it is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: Samples = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._gpu: Process | None = None

    async def start(self) -> None:
        """Begin to sample; what cannot be asked is left out."""
        self._tasks.append(asyncio.ensure_future(self._watch_cpu()))
        if program := shutil.which("nvidia-smi"):
            with contextlib.suppress(OSError):
                self._gpu = await asyncio.create_subprocess_exec(
                    program,
                    f"--query-gpu=index,{','.join(_GPU_FIELDS)}",
                    "--format=csv,noheader,nounits",
                    f"--loop={_EVERY_S}",
                    stdin=DEVNULL,
                    stdout=PIPE,
                    stderr=DEVNULL,
                )
                self._tasks.append(asyncio.ensure_future(self._watch_gpus(self._gpu)))

    async def aclose(self) -> None:
        """Stop sampling."""
        for task in self._tasks:
            task.cancel()
        if self._gpu is not None and self._gpu.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._gpu.kill()
            await self._gpu.wait()

    def between(self, start_ns: int, end_ns: int, origin_ns: int) -> Samples:
        """What was sampled in a block.

        Args:
            start_ns: begin of the block, from the start of the run.
            end_ns: its end.
            origin_ns: start of the run on the clock.
        """
        found = {
            name: [(t - origin_ns, v) for t, v in values if start_ns <= t - origin_ns <= end_ns]
            for name, values in self._samples.items()
        }
        return {name: values for name, values in found.items() if values}

    async def _watch_cpu(self) -> None:
        await asyncio.sleep(_FIRST_REQUEST_S)
        psutil = await asyncio.to_thread(importlib.import_module, "psutil")
        psutil.cpu_percent()
        while True:
            await asyncio.sleep(_EVERY_S)
            self._add("cpu_share", psutil.cpu_percent() / 100)

    async def _watch_gpus(self, gpu: Process) -> None:
        assert gpu.stdout is not None
        async for line in gpu.stdout:
            for name, value in parse_gpu_line(line.decode(errors="replace")).items():
                self._add(name, value)

    def _add(self, name: str, value: float) -> None:
        self._samples.setdefault(name, []).append((self._clock.now_ns(), value))


def parse_gpu_line(line: str) -> dict[str, float]:
    """The values on one line of `nvidia-smi`; what the GPU does not tell is left out."""
    index, *cells = [cell.strip() for cell in line.split(",")]
    values = {}
    for cell, (name, factor) in zip(cells, _GPU_FIELDS.values(), strict=False):
        with contextlib.suppress(ValueError):
            values[f"gpu{index}_{name}"] = float(cell) * factor
    return values
