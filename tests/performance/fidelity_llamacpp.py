"""Fidelity of real quantisations against the truth of whole distributions: llama.cpp, SmolLM2 135M.

    python tests/performance/fidelity_llamacpp.py [-o DIR] [--texts 24]

The reference is in F16; Q8_0, Q6_K, Q5_K_M and Q4_K_M are the candidates
(`tests/support/quantised.py` makes them). They are measured as a user would, through the embedded
server's API, on the first `--texts` of the default texts. Then llama.cpp's own server is asked at
the same places, in the same order, for the whole vocabulary (n_probs), which gives the true
divergences. Printed for each candidate: the truth, the estimate and its interval, estimate / truth
with an interval of its own (paired by texts), bound / truth. Fails if an estimate is off by more
than 15 %, a bound is above its truth, or the order is wrong.

With `-o DIR` files and answers are kept there, and those already there are not asked for again: a
second call goes on. 24 texts (192 places) take some 6 minutes of one core, nearly all of it for the
truth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import httpx
import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fidelity_order import ORDER, measure
from quantised import write_set

from bench.analysis.fidelity.analyse import by_side
from bench.analysis.fidelity.divergence import divergence_of
from bench.analysis.fidelity.position import pair
from bench.results.fidelity_files import read_places, read_setup
from bench.scenario.plan import ForcedText
from bench.scenario.word_ends import forced_texts
from bench.server.llamacpp.model_file import find_model
from bench.server.llamacpp.process import EngineProcess
from bench.stats.means import ratio_of_sums

VOCABULARY = 49_152
MOST_OFF = 0.15


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


def whole_distributions(
    path: Path, texts: tuple[ForcedText, ...], num_ctx: int, kept: Path
) -> np.ndarray:
    """Log-probabilities of the whole vocabulary at each place: [places, vocabulary].

    Args:
        path: of the model.
        texts: with their places.
        num_ctx: context.
        kept: folder of a file for each text; those that are there are not asked again.
    """
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{number}.npy" for number in range(len(texts))]
    missing = [(f, text) for f, text in zip(files, texts, strict=True) if not f.is_file()]
    if missing:
        asyncio.run(_read(path, missing, num_ctx))
        print(f"{path.stem}: read; load average {os.getloadavg()[0]:.1f}", flush=True)
    return np.concatenate([np.load(file) for file in files])


async def _read(path: Path, missing: list[tuple[Path, ForcedText]], num_ctx: int) -> None:
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
    async with httpx.AsyncClient(base_url=process.address, timeout=None) as client:
        for file, text in missing:
            np.save(file, np.array([await _whole(client, text.text[:cut]) for cut in text.cuts]))
    await process.stop()


async def _whole(client: httpx.AsyncClient, prompt: str) -> np.ndarray:
    body = {"prompt": prompt, "n_predict": 1, "n_probs": VOCABULARY}
    body |= {"temperature": 0, "cache_prompt": True}
    content = (await client.post("/completion", json=body)).content
    reply = msgspec.json.decode(content, type=Reply)
    row = np.full(VOCABULARY, -np.inf, np.float32)
    for token in reply.completion_probabilities[0].top_logprobs:
        if token.logprob is not None:
            row[token.id] = token.logprob
    return row


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
    parser.add_argument("--texts", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return check(given.output or Path(scratch), given.texts)


def check(folder: Path, count: int) -> int:
    """The same in a folder."""
    paths = write_set(find_model(), folder / "models", ORDER)
    run = measure(folder / f"default-{count}", paths, forced_texts()[:count])
    setup, said = read_setup(run), by_side(read_places(run))
    places = [(t, cut) for t, text in enumerate(setup.texts) for cut in text.cuts]

    def whole(name: str) -> np.ndarray:
        kept = folder / "whole" / name
        return whole_distributions(paths[name], setup.texts, setup.num_ctx, kept)

    reference = whole("F16")
    wrong, truths, values = [], [], []
    for side, name in enumerate(ORDER, 1):
        found = [pair(said[0][p].tokens, said[side][p].tokens) for p in places]
        used = np.array([f is not None for f in found])
        text_of = np.array([t for t, _ in places])[used]
        together = divergence_of([f for f in found if f is not None], text_of)
        true = true_divergences(reference[used], whole(name)[used])
        # Texts are numbered through: each has a place that both listed, or this is no measurement.
        by_text = np.bincount(text_of, true) / np.bincount(text_of)
        truth, estimate = float(by_text.mean()), together.estimate
        ratio = ratio_of_sums(together.by_text, by_text, np.arange(count))
        print(
            f"{name:7} truth {truth:.5f} estimate {estimate.value:.5f} ({estimate.low:.5f}-"
            f"{estimate.high:.5f}), estimate / truth {ratio.value:.3f} ({ratio.low:.3f}-"
            f"{ratio.high:.3f}), bound / truth {together.bound / truth:.3f}, another word "
            f"{together.other_top.value:.1%}, {used.sum()} of {len(used)} places of {count} texts",
            flush=True,
        )
        truths.append(truth)
        values.append(estimate.value)
        if abs(ratio.value - 1) > MOST_OFF or together.bound > truth:
            wrong.append(name)
    in_order = bool((np.argsort(truths) == np.argsort(values)).all())
    print(f"order {'right' if in_order else 'wrong'}; off: {', '.join(wrong) or 'none'}")
    return int(bool(wrong) or not in_order)


if __name__ == "__main__":
    sys.exit(main())
