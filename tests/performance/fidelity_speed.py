"""How fast fidelity reads: places a second of a default run, and where the time goes.

    python tests/performance/fidelity_speed.py [--texts 60] [--types F16,Q8_0]

SmolLM2 135M through the embedded server's API, llama.cpp, one thread. Bar: 20 places a second on a
quiet core. Per place are printed the CPU time of the engine and that of server and client, the
prompt tokens and how many of them came out of the prefix cache, by the server's own count. Two
models of 60 texts take a minute on a quiet core; the load average is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from quantised import write_set

import bench
from bench.commands.running import finish
from bench.load.word_by_word import ask_side, describe_side, make_room
from bench.ollama.control import Control
from bench.results.fidelity_files import FidelitySetup, PlaceRecord
from bench.scenario.plan import ForcedText
from bench.scenario.word_ends import forced_texts
from bench.server.embedded import EmbeddedServer
from bench.server.llamacpp.model_file import find_model

BAR = 20.0


async def read(server: EmbeddedServer, model: str, texts: tuple[ForcedText, ...]) -> float:
    """Places a second of one model, loading and the first place left out."""
    stamps: list[float] = []
    used: list[tuple[float, float]] = []

    def keep(record: PlaceRecord) -> None:
        stamps.append(time.monotonic())
        used.append(_cpu_s())

    asked = len(server.truth)
    async with Control.of(bench.Settings().address(server.url)) as control:
        side = await describe_side(control, model, model)
        setup = FidelitySetup(1, "r", "", "0", (side,), texts, "i", 2048, 7, 60)
        await ask_side(control, setup, 0, (), keep)
        await make_room(control, model)
    counted = [t for t in server.truth[asked:] if t.metrics.get("eval_count") == 1]
    n = len(stamps) - 1
    prompt, cached = (
        sum(getattr(t, name) or 0 for t in counted) / len(counted)
        for name in ("prompt_tokens", "cached_tokens")
    )
    rate = n / (stamps[-1] - stamps[0])
    engine, ours = ((last - first) / n * 1e3 for first, last in zip(used[0], used[-1], strict=True))
    steps = sorted(b - a for a, b in pairwise(stamps))
    print(
        f"{model}: {rate:.1f} places/s, median {steps[n // 2] * 1e3:.0f} ms; CPU a place: engine "
        f"{engine:.0f} ms, server and client {ours:.1f} ms; {prompt:.0f} prompt tokens a place, "
        f"{cached:.0f} of them cached; load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return rate


def _cpu_s() -> tuple[float, float]:
    """CPU time so far of the engine, and of client and server."""
    client = psutil.Process()
    (server,) = client.children()
    used = [sum(p.cpu_times()[:2]) for p in (client, server, *server.children())]
    return sum(used[2:]), used[0] + used[1]


def main() -> int:
    """Measure each type; 1 if one is below the bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=60)
    parser.add_argument("--types", default="F16,Q8_0")
    given = parser.parse_args()
    texts = forced_texts()[: given.texts]
    with tempfile.TemporaryDirectory() as folder:
        names = tuple(given.types.split(","))
        paths = write_set(find_model(), Path(folder), tuple(n for n in names if n != "F16"))
        models = [f"{name}={path}" for name, path in paths.items()]
        with bench.start_server("llama.cpp", models=models, threads=1) as server:
            rates = [finish(read(server, name, texts)) for name in names]
    return int(min(rates) < BAR)


if __name__ == "__main__":
    sys.exit(main())
