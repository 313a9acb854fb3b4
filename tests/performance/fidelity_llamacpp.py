"""Fidelity of real quantisations against the truth of whole distributions: llama.cpp, SmolLM2 135M.

    python tests/performance/fidelity_llamacpp.py [-o DIR] [--texts 16]

The reference is in F16; Q8_0, Q6_K, Q5_K_M, Q4_K_M and a copy of the reference under another name
are the candidates (`tests/support/quantised.py` makes them). They are measured as a user would,
through the embedded server's API. Then llama.cpp's own server is asked at the same places, in the
same order, for the whole vocabulary (n_probs), which gives the true divergences; `--texts` says in
how many of the texts, for it is slow. Printed: places a
second, share of prompt tokens that came out of the prefix cache, estimate / truth and bound /
truth, and, over 20 samples of half of the texts: how often the order is right and the copy is no
different. Fails if an estimate is off by more than 15 %, a bound is above its truth, the order is
wrong in more than one sample, or the copy is found different in more than one.

With `-o DIR` files and answers are kept there, and those already there are not made again. It takes
some 20 minutes on a quiet core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from quantised import write_set

import bench
from bench.analysis.fidelity.analyse import analyse
from bench.analysis.fidelity.result import Distance, Nearer
from bench.results.fidelity_files import RESULT_FILE, read_places, read_setup
from bench.server.llamacpp.model_file import find_model
from bench.server.llamacpp.process import EngineProcess

COPY = "copy"
VOCABULARY = 49_152
MOST_OFF, SAMPLES = 0.15, 20


def measure(folder: Path, paths: dict[str, Path]) -> Path:
    """A fidelity run through the API, the one kept in the folder if it is complete."""
    made = sorted(folder.glob(f"*/{RESULT_FILE}"))
    if made:
        return made[-1].parent
    stamps: dict[str, list[float]] = {}
    settings = bench.Settings(output=folder)
    with bench.start_server(
        "llama.cpp", models=[f"{name}={path}" for name, path in paths.items()], threads=1
    ) as server:
        found = bench.fidelity(
            "F16",
            list(paths)[1:],
            host=server.url,
            settings=settings,
            on_step=lambda label, done, total: stamps.setdefault(label, []).append(
                time.monotonic()
            ),
        )
        asked = [t.metrics for t in server.truth if t.metrics.get("eval_count")]
    print(f"load average {os.getloadavg()[0]:.1f}")
    for label, times in stamps.items():
        print(f"{label:8} {(len(times) - 1) / (times[-1] - times[0]):6.1f} places/s")
    print("prompt", {k: sum(m.get(k) or 0 for m in asked) for k in asked[0]})
    return found.path


class Likely(msgspec.Struct):
    """A token of a list."""

    id: int
    logprob: float | None


class Entry(msgspec.Struct):
    """What is said of one token."""

    top_logprobs: list[Likely]


class Reply(msgspec.Struct):
    """llama.cpp's answer, as far as it is needed."""

    completion_probabilities: list[Entry]


async def whole_distributions(path: Path, texts, num_ctx: int) -> np.ndarray:
    """Log-probabilities of the whole vocabulary at each place: [places, vocabulary]."""
    process = await EngineProcess.start(
        {
            "model.path": str(path),
            "n_ctx": num_ctx,
            "n_parallel": 1,
            "cpuparams.n_threads": 1,
            "cpuparams_batch.n_threads": 1,
            "port": 0,
            "ui": False,
        }
    )
    rows = []
    async with httpx.AsyncClient(base_url=process.address, timeout=None) as client:
        for text in texts:
            for cut in text.cuts:
                body = {"prompt": text.text[:cut], "n_predict": 1, "n_probs": VOCABULARY}
                body |= {"temperature": 0, "cache_prompt": True}
                content = (await client.post("/completion", json=body)).content
                reply = msgspec.json.decode(content, type=Reply)
                row = np.full(VOCABULARY, -np.inf, np.float32)
                for token in reply.completion_probabilities[0].top_logprobs:
                    if token.logprob is not None:
                        row[token.id] = token.logprob
                rows.append(row)
    await process.stop()
    return np.array(rows)


def true_divergences(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence at each place, nats."""
    found = []
    for a, b in zip(p, q, strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        known = np.isfinite(a) & np.isfinite(b)
        found.append(float((np.exp(a[known]) * (a[known] - b[known])).sum()))
    return np.array(found)


def main() -> int:
    """Measure, compare, print; 1 if something is off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--texts", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return check(given.output or Path(scratch), given.texts)


def check(folder: Path, texts: int) -> int:
    """The same in a folder."""
    paths = write_set(find_model(), folder / "models")
    paths[COPY] = folder / "models" / "copy.gguf"
    if not paths[COPY].is_file():
        shutil.copy(paths["F16"], paths[COPY])
    run = measure(folder / "runs", paths)
    setup, records = read_setup(run), read_places(run)
    chosen = np.unique(np.linspace(0, len(setup.texts) - 1, texts).astype(int))
    known = [setup.texts[i] for i in chosen]
    result = sampled(setup, records, set(chosen.tolist()))
    truths = {}

    def truth_of(name: str) -> np.ndarray:
        kept = folder / f"{name}.npy"
        if not kept.is_file():
            np.save(kept, asyncio.run(whole_distributions(paths[name], known, setup.num_ctx)))
        return np.load(kept, mmap_mode="r")

    reference = truth_of("F16")
    text_of = np.repeat(np.arange(len(known)), [len(t.cuts) for t in known])
    wrong = []
    for candidate in result.candidates:
        name = setup.sides[candidate.side].model
        if name.startswith(COPY):
            continue
        name = name.removesuffix(":latest")
        places = true_divergences(reference, truth_of(name))
        by_text = np.bincount(text_of, places) / np.bincount(text_of)
        truths[candidate.side] = truth = float(by_text.mean())
        value = candidate.divergence.value
        print(
            f"{name:8} truth {truth:.5f} estimate {value:.5f} "
            f"({candidate.divergence.low:.5f}-{candidate.divergence.high:.5f}) "
            f"ratio {value / truth:.3f} bound {candidate.bound / truth:.3f} "
            f"other word {candidate.other_top.value:.3f} used {candidate.used} {candidate.dropped}"
        )
        if abs(value / truth - 1) > MOST_OFF or candidate.bound > truth:
            wrong.append(name)
    print(f"floor {result.floor}")
    in_order = sorted(truths, key=truths.get)
    right, alike, verdicts = 0, 0, 0
    for seed in range(SAMPLES):
        chosen = np.random.default_rng(seed).permutation(len(setup.texts))[: len(setup.texts) // 2]
        found = sampled(setup, records, set(chosen.tolist()))
        order = sorted(truths, key=lambda side: value_of(found, side))
        right += order == in_order
        copy = next(c for c in found.candidates if setup.sides[c.side].model.startswith(COPY))
        alike += copy.distance is Distance.NONE
        verdicts += all(
            d.verdict in (Nearer.FIRST, Nearer.OPEN)
            for d in found.differences
            if d.first in truths and d.second in truths
        )
    print(
        f"order right in {right}, no verdict wrong in {verdicts}, copy alike in {alike} "
        f"of {SAMPLES}"
    )
    return int(bool(wrong) or min(right, alike, verdicts) < SAMPLES - 1)


def sampled(setup, records, chosen):
    """The result of some of the texts alone; the noise floor is of all."""
    texts = tuple(
        text if number in chosen else replace(text, cuts=())
        for number, text in enumerate(setup.texts)
    )
    kept = [r for r in records if r.text in chosen or r.side < 0]
    return analyse(replace(setup, texts=texts), kept)


def value_of(found, side):
    """The estimate of one side."""
    return next(c.divergence.value for c in found.candidates if c.side == side)


if __name__ == "__main__":
    sys.exit(main())
