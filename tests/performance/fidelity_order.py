"""How often fidelity orders real quantisations rightly: 20 samples with no text in common.

    python tests/performance/fidelity_order.py [-o DIR]

SmolLM2 135M in F16 against Q8_0, Q6_K, Q5_K_M, Q4_K_M and a copy of the reference under another
name, through the embedded server's API, llama.cpp, one thread. Each sample has 5 texts of some 60
tokens and 8 places in each. Fails if the order is wrong in more than one sample, or the copy is
called different in more than one. 5,280 places: 3 to 6 minutes on a quiet core. With `-o DIR` the
files and what was measured are kept there, and a second call goes on.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from quantised import write_set

import bench
from bench.analysis.fidelity.analyse import analyse
from bench.analysis.fidelity.result import Distance, FidelityResult
from bench.commands.fidelity import begin
from bench.commands.running import finish
from bench.load.word_by_word import describe_side
from bench.ollama.control import Control
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import (
    SETUP_FILE,
    FidelitySetup,
    PlaceRecord,
    read_places,
    read_setup,
)
from bench.scenario.plan import ForcedText
from bench.scenario.word_ends import _cuts, _shipped
from bench.server.llamacpp.model_file import find_model

SAMPLES, TEXTS, PLACES, UNITS = 20, 5, 8, 60.0
ORDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
COPY = "copy"


def disjoint_texts() -> tuple[ForcedText, ...]:
    """Stretches of the shipped texts that do not overlap, those of code among the others."""
    draw = random.Random(11)
    texts = []
    for kind in ("en", "code"):
        for text in _shipped(kind, UNITS):
            cuts = _cuts(text, PLACES, draw)
            if len(cuts) == PLACES:
                texts.append(ForcedText(kind, text, cuts))
    draw.shuffle(texts)
    assert len(texts) >= SAMPLES * TEXTS, len(texts)
    return tuple(texts[: SAMPLES * TEXTS])


def measure(folder: Path, paths: dict[str, Path], texts: tuple[ForcedText, ...]) -> Path:
    """One run through the API, the first model the reference; one that was broken off goes on."""
    begun = next(folder.glob(f"runs/*/{SETUP_FILE}"), None)
    port = int(begun.parent.with_suffix(".port").read_text()) if begun else 0
    models = [f"{name}={path}" for name, path in paths.items()]
    with bench.start_server("llama.cpp", models=models, threads=1, port=port) as server:
        if begun is not None:
            return bench.resume_fidelity(begun.parent, on_step=show).path
        directory = RunDirectory.create(folder / "runs", "fidelity")
        directory.path.with_suffix(".port").write_text(server.url.rpartition(":")[2])

        async def ask() -> None:
            async with Control.of(bench.Settings().address(server.url)) as control:
                sides = [await describe_side(control, name, name) for name in paths]
                await begin(directory, tuple(sides), texts, 11, lambda side: control, show)

        finish(ask())
    return directory.path


def show(label: str, done: int, total: int) -> None:
    """One line in 200 places."""
    if done % 200 == 0:
        print(f"{done} of {total}: {label}, load average {os.getloadavg()[0]:.1f}", flush=True)


def sampled(setup: FidelitySetup, records: list[PlaceRecord], chosen: set[int]) -> FidelityResult:
    """The result of some of the texts alone; the noise floor is of all."""
    texts = tuple(
        text if number in chosen else replace(text, cuts=())
        for number, text in enumerate(setup.texts)
    )
    kept = [r for r in records if r.text in chosen or r.side < 0]
    return analyse(replace(setup, texts=texts), kept)


def value_of(found: FidelityResult, side: int) -> float:
    """The estimate of one side."""
    return next(c.divergence.value for c in found.candidates if c.side == side)


def main() -> int:
    """Measure and judge; 1 if too many samples are wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.output or Path(scratch)
        paths = write_set(find_model(), folder / "models", ORDER)
        paths[COPY] = folder / "models" / "copy.gguf"
        if not paths[COPY].is_file():
            shutil.copy(paths["F16"], paths[COPY])
        start = time.monotonic()
        run = measure(folder, paths, disjoint_texts())
        print(f"measured in {time.monotonic() - start:.0f} s")
        setup, records = read_setup(run), read_places(run)
        sides = {side.model: number for number, side in enumerate(setup.sides)}
        right = alike = 0
        for sample in range(SAMPLES):
            chosen = set(range(sample * TEXTS, (sample + 1) * TEXTS))
            found = sampled(setup, records, chosen)
            values = [value_of(found, sides[name]) for name in ORDER]
            right += values == sorted(values)
            (copy,) = (c for c in found.candidates if c.side == sides[COPY])
            alike += copy.distance is Distance.NONE
            print(sample, " ".join(f"{v:.4f}" for v in values), copy.distance.value)
    print(f"order right in {right}, copy alike in {alike} of {SAMPLES}")
    return int(min(right, alike) < SAMPLES - 1)


if __name__ == "__main__":
    sys.exit(main())
