"""Fidelity on the real engine: another vocabulary, ruined files, and the prefix cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_models import endless, scrambled, smaller_vocabulary

import bench
from bench.analysis.fidelity.gates import judge_gates
from bench.errors import NotComparable
from bench.load.word_by_word import ask_gates
from bench.ollama.control import Control
from bench.results.fidelity_files import (
    FidelitySetup,
    GateRecord,
    PlaceRecord,
    Side,
    read_places,
)
from bench.scenario.gates import NEEDLE, Gate, questions
from bench.server.embedded import EmbeddedServer

pytestmark = [pytest.mark.real_engine, pytest.mark.slow]

NUM_CTX = 384
TEXTS = (
    "The harbour lies at the end of a long valley, and every morning the boats go out before the "
    "sun stands above the hills, while the market is being set up on the old stone quay.",
    "A good map shows what is there and leaves out what nobody needs, so the person who draws it "
    "must know the country as well as the people who will one day walk through it.",
)


@pytest.fixture(scope="module")
def server(demo_model_file, tmp_path_factory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("models")
    models = [
        f"sound={demo_model_file}",
        f"scrambled={scrambled(demo_model_file, folder / 'scrambled.gguf')}",
        f"endless={endless(demo_model_file, folder / 'endless.gguf')}",
    ]
    with bench.start_server("llama.cpp", models=models, threads=1) as running:
        yield running


async def gates(server: EmbeddedServer, model: str, asked: set[Gate]):
    """Gate -> result of the questions of some gates, the first of each."""
    side = Side(model, model, server.url)
    setup = FidelitySetup(1, "r", "", "0", (side,), (), "i", NUM_CTX, 7, 60)
    left_out = {
        (0, q.gate.value, q.number)
        for q in questions(NUM_CTX)
        if q.gate not in asked or q.number > 0
    }
    records: list[GateRecord] = []
    async with Control.of(bench.Settings().address(server.url)) as control:
        await ask_gates(control, setup, 0, left_out, records.append)
    return {result.gate: result for result in judge_gates(records)}


async def test_a_sound_model_opens_the_gates(server):
    found = await gates(server, "sound", {Gate.NEEDLE, Gate.JSON})
    assert {g: r.passed for g, r in found.items()} == dict.fromkeys(
        (Gate.NEEDLE, Gate.JSON, Gate.MARKER), True
    )
    assert found[Gate.NEEDLE].answers == 1 and NEEDLE in found[Gate.NEEDLE].came


async def test_a_ruined_file_finds_nothing_and_ends_no_json(server):
    found = await gates(server, "scrambled", {Gate.NEEDLE, Gate.JSON})
    assert not found[Gate.NEEDLE].passed and not found[Gate.JSON].passed
    assert found[Gate.MARKER].passed
    # What was asked, and what came of it.
    assert NEEDLE in found[Gate.NEEDLE].asked and NEEDLE not in found[Gate.NEEDLE].came
    assert found[Gate.JSON].asked.startswith("Name a famous ship") and found[Gate.JSON].came


async def test_a_wrong_end_token_leaks_the_template_and_nothing_else(server):
    found = await gates(server, "endless", {Gate.NEEDLE})
    assert found[Gate.NEEDLE].passed
    assert not found[Gate.MARKER].passed and "<|im_fin|>" in found[Gate.MARKER].came


def test_another_vocabulary_is_refused_by_its_tokens(server, demo_model_file, tmp_path):
    """Same name, weights and architecture; 8,000 of the 48,900 merges."""
    other = smaller_vocabulary(demo_model_file, tmp_path / "small.gguf", 8_000)
    asked = len(server.truth)
    with bench.start_server("llama.cpp", models=[f"sound={other}"], threads=1) as second:
        places = refused(f"sound@{server.url}", f"sound@{second.url}", tmp_path)
    # The servers take turns, so what cannot be compared is seen in the first text.
    assert {p.text for p in places} == {0}
    # Each place after the first is evaluated only from where the last one ended.
    counted = [t for t in server.truth[asked:] if t.done_reason == "length"]
    of_reference = [p for p in places if p.side == 0]
    assert [t.prompt_tokens for t in counted] == [p.prompt_tokens for p in of_reference]
    assert [t.cached_tokens for t in counted[1:]] == [t.prompt_tokens for t in counted[:-1]]


def test_another_vocabulary_on_the_same_server_is_refused_as_early(demo_model_file, tmp_path):
    other = smaller_vocabulary(demo_model_file, tmp_path / "small.gguf", 8_000)
    models = [f"sound={demo_model_file}", f"small={other}"]
    with bench.start_server("llama.cpp", models=models, threads=1) as both:
        places = refused(f"sound@{both.url}", f"small@{both.url}", tmp_path)
    # The candidate is tried at two texts; of the reference the first tells.
    assert {p.text for p in places if p.side == 0} == {0}
    assert {p.text for p in places if p.side == 1} == {0, 1}


def refused(reference: str, candidate: str, folder: Path) -> list[PlaceRecord]:
    """What was asked before the candidate was refused for its tokenizer."""
    texts = folder / "own.txt"
    texts.write_text("\n\n".join(TEXTS))
    settings = bench.Settings(output=folder / "runs")
    with pytest.raises(NotComparable, match="it counts another number of tokens in") as raised:
        bench.fidelity(reference, candidate, texts=str(texts), quick=True, settings=settings)
    assert "has another tokenizer than" in str(raised.value)
    (run,) = settings.output.iterdir()
    return read_places(run)
