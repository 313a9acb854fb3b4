"""From records to verdicts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from planted_lists import Planted, lists, log_softmax

from bench.analysis.fidelity.analyse import analyse
from bench.analysis.fidelity.result import Distance, FidelityResult, Nearer
from bench.errors import MeasurementInvalid, NotComparable
from bench.report.fidelity.page import fidelity_in_run
from bench.report.page import plain
from bench.results.fidelity_files import AGAIN, FidelitySetup, PlaceRecord, Side
from bench.scenario.plan import ForcedText

CUTS = tuple(range(10, 22))


def setup_of(sides, texts=40):
    return FidelitySetup(
        schema=1,
        id="run",
        created_at="2026-01-01T00:00:00+00:00",
        tool_version="0",
        sides=tuple(Side(name, name, "http://x") for name in ("ref", *sides)),
        texts=tuple(ForcedText("en" if t % 2 else "code", "x" * 30, CUTS) for t in range(texts)),
        identity="i",
        num_ctx=2048,
        seed=1,
        again=60,
    )


def records_of(setup, side, lists, prompt_tokens=lambda text, cut: 3 * cut):
    places = [(t, cut) for t in range(len(setup.texts)) for cut in CUTS]
    return [
        PlaceRecord(side, t, cut, tuple(tokens), prompt_tokens(t, cut))
        for (t, cut), tokens in zip(places, lists, strict=False)
    ]


def measured(planted, *spreads, texts=40, floor=None, seed=1):
    """Records of a reference and candidates of planted spreads; the same reference throughout."""
    setup = setup_of([f"c{i}" for i in range(len(spreads))], texts)
    n = texts * len(CUTS)
    records = []
    for i, spread in enumerate(spreads):
        data = planted_pair(planted, spread, n, i, seed)
        if not records:
            records += records_of(setup, 0, data.reference)
        records += records_of(setup, i + 1, data.candidate)
    if floor is not None:
        data = planted_pair(planted, floor, n, 99, seed)
        records += records_of(setup, AGAIN, data.candidate[:60])
    return setup, records


def planted_pair(planted, spread, n, number, seed):
    """Errors of their own for every candidate, over the same logits."""
    draw = np.random.default_rng([seed, number + 1])
    logits = np.random.default_rng(seed).normal(0, 3, (n, 1_000))
    errors = draw.normal(0, 1, logits.shape) * spread
    p, q = log_softmax(logits), log_softmax(logits + errors)
    truth = (np.exp(p) * (p - q)).sum(axis=1)
    return Planted(lists(p), lists(q), truth)


def test_the_nearer_candidate_is_named_and_the_order_does_not_matter(planted):
    result = analyse(*measured(planted, 0.1, 0.4, floor=0.01))
    assert [c.distance for c in result.candidates] == [Distance.DIFFERS] * 2
    assert result.differences[0].verdict is Nearer.FIRST
    turned = analyse(*measured(planted, 0.4, 0.1))
    assert turned.differences[0].verdict is Nearer.SECOND
    assert turned.differences[0].difference.high < 0


@pytest.mark.slow
def test_a_copy_is_no_difference_in_19_of_20(planted):
    """The same file under another name differs by the rounding that the floor shows, too."""
    alike = [
        analyse(*measured(planted, 0.02, texts=12, floor=0.02, seed=seed)).candidates[0].distance
        for seed in range(20)
    ]
    assert alike.count(Distance.NONE) >= 19


def test_places_one_token_apart_show_no_noise_and_are_no_part_of_the_floor(planted):
    """Both times the server evaluates one token there, and gives the same bits."""
    setup, records = measured(planted, 0.1, texts=10, floor=0.02)
    cuts = sorted({r.cut for r in records})
    near = [cut for number, cut in enumerate(cuts) if number % 3 == 1]
    first = {(r.text, r.cut): r for r in records if r.side == 0}
    changed = []
    for r in records:
        tokens = first[r.text, r.cut].tokens if r.side == AGAIN and r.cut in near else r.tokens
        changed.append(replace(r, tokens=tokens, prompt_tokens=3 * r.cut - 2 * (r.cut in near)))
    floor = analyse(setup, changed).floor
    whole = analyse(setup, records).floor
    assert floor.places == 40 and whole.places == 60
    assert floor.divergence == pytest.approx(0.02**2 / 2, rel=0.25)


@pytest.mark.slow
def test_the_floor_has_the_interval_of_its_texts(planted):
    """60 places of 5 texts asked again; 36 of 40 runs or more hold what was planted."""
    truth, found = [], []
    for seed in range(40):
        setup, records = measured(planted, 0.1, texts=8, floor=0.05, seed=seed)
        truth.append(planted_pair(planted, 0.05, 96, 99, seed).truth.mean())
        floor = analyse(setup, records).floor
        assert floor.estimate.value == floor.divergence and floor.estimate.method == "t, 5 texts"
        found.append(floor.estimate)
    assert sum(f.low <= np.mean(truth) <= f.high for f in found) >= 36


def test_an_exact_copy_is_no_difference_without_any_floor(planted):
    found = analyse(*measured(planted, 0.0)).candidates[0]
    assert found.distance is Distance.NONE and found.divergence.value <= 1e-6


def test_two_candidates_that_are_alike(planted):
    result = analyse(*measured(planted, 0.3, 0.3))
    assert result.differences[0].verdict is Nearer.NONE


def test_too_few_texts_are_inconclusive_and_say_how_many_more(planted):
    draws = [analyse(*measured(planted, 0.30, 0.31, texts=3, seed=s)) for s in range(6)]
    undecided = [d for r in draws for d in r.differences if d.verdict is Nearer.OPEN]
    assert undecided and all(d.more_texts >= 1 for d in undecided)


def test_places_are_dropped_on_both_sides_and_counted(planted):
    setup, records = measured(planted, 0.1)
    records[5] = replace(records[5], tokens=(), missing="end of text likeliest")
    other = len(setup.texts) * len(CUTS) + 7
    records[other] = replace(records[other], tokens=(), missing="part of a character")
    found = analyse(setup, records).candidates[0]
    assert (found.asked, found.used) == (480, 478)
    assert found.dropped == {"end of text likeliest": 1, "part of a character": 1}


def test_nothing_in_common_is_invalid(planted):
    setup = setup_of(["c"], texts=2)
    nothing = [()] * 24
    records = records_of(setup, 0, nothing) + records_of(setup, 1, nothing)
    with pytest.raises(MeasurementInvalid, match="no place has a list of both"):
        analyse(setup, records)


def test_each_kind_of_text_has_its_own_number(planted):
    result = analyse(*measured(planted, 0.2))
    assert set(result.candidates[0].by_kind) == {"en", "code"} == set(result.kinds)


def test_another_count_of_tokens_is_another_tokenizer(planted):
    setup, records = measured(planted, 0.1)
    half = len(records) // 2
    odd = [replace(r, prompt_tokens=r.prompt_tokens + r.cut % 3) for r in records[half:]]
    with pytest.raises(NotComparable, match="another tokenizer than ref: it counts another number"):
        analyse(setup, records[:half] + odd)


def test_one_token_more_at_the_start_is_none(planted):
    setup, records = measured(planted, 0.1)
    half = len(records) // 2
    more = [replace(r, prompt_tokens=r.prompt_tokens + 1) for r in records[half:]]
    analyse(setup, records[:half] + more)


def test_other_tokens_are_another_vocabulary(planted):
    setup, records = measured(planted, 0.1)
    half = len(records) // 2
    odd = [replace(r, tokens=tuple((f"{t}x", p) for t, p in r.tokens)) for r in records[half:]]
    with pytest.raises(NotComparable, match="another vocabulary than ref"):
        analyse(setup, records[:half] + odd)


@pytest.mark.parametrize(("other", "said"), [("i", 0), ("j", 1)])
def test_runs_that_read_other_texts_are_not_said_to_compare(planted, other, said):
    result = analyse(*measured(planted, 0.1, texts=3))
    run = SimpleNamespace(run=SimpleNamespace(info=SimpleNamespace(targets=())))
    report = SimpleNamespace(runs=(run, run), cases=(), models=())
    parts = fidelity_in_run(report, [result, replace(result, identity=other)])
    findings = [plain(t) for p in parts for a in p.findings for t in a.sentences]
    assert sum("other texts or places (identities i, j)" in f for f in findings) == said


def test_the_result_can_be_read_back(planted):
    result = analyse(*measured(planted, 0.1, 0.3))
    assert msgspec.json.decode(msgspec.json.encode(result), type=FidelityResult) == result
