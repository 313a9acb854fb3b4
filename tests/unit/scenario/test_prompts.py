from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scenario.corpus import LANGUAGES, TokenRates, fit_calibration, load_corpus, units_of
from bench.scenario.plan import (
    Block,
    Case,
    Distribution,
    Load,
    Plan,
    PromptSpec,
    SyntheticPrompts,
)
from bench.scenario.prompts import CLOSINGS, Prompt, calibration_prompts, nonce, prompt_source

NONCE = re.compile(r"\d{3} \d{3} \d{3} \d{3}")


def _synthetic(tokens: float, language: str = "en", **more: Any) -> PromptSpec:
    made = SyntheticPrompts(Distribution("fixed", {"value": tokens}), None, language)
    return PromptSpec(synthetic=made, **more)


def _case(prompts: PromptSpec, **more: Any) -> Case:
    options = {"num_ctx": 32768, "num_predict": 128}
    case = Case(
        "c",
        {},
        "t",
        "m",
        "chat",
        True,
        options,
        False,
        "30m",
        prompts,
        Load("closed", users=1, requests=5),
        3,
    )
    return replace(case, **more)


def _plan(case: Case, seed: int = 1, salt: int = 5, **more: Any) -> Plan:
    blocks = (Block(0, "c", 0, 11), Block(1, "c", 1, 12))
    return Plan("n", "", (), "", {}, (), (case,), blocks, seed, salt, **more)


def _prompts(case: Case, count: int = 20, block: int = 0, **plan: Any) -> list[Prompt]:
    made = _plan(case, **plan)
    source = prompt_source(case, made)
    return [source.prompt(made.blocks[block], i) for i in range(count)]


# --- the nonce


@given(
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(
        st.tuples(st.integers(0, 9999), st.integers(0, 4_999_999), st.booleans()),
        unique=True,
        max_size=50,
    ),
)
def test_no_two_requests_share_a_nonce(seed: int, salt: int, places: list[Any]) -> None:
    made = {nonce(seed, salt, block, index, warmup=warmup) for block, index, warmup in places}
    assert len(made) == len(places)
    assert all(NONCE.fullmatch(text) for text in made)


def test_neighbours_differ_from_the_first_group_on() -> None:
    made = [nonce(1, 2, 0, index).split()[0] for index in range(200)]
    assert all(a != b for a, b in pairwise(made))


def test_another_salt_makes_other_nonces() -> None:
    first = {nonce(1, 2, 0, i) for i in range(1000)}
    assert not first & {nonce(1, 3, 0, i) for i in range(1000)}


def test_a_nonce_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="no nonce"):
        nonce(1, 1, 0, 5_000_000)


# --- where the nonce stands


def test_the_nonce_comes_first_in_the_users_text() -> None:
    for prompt in _prompts(_case(_synthetic(100))):
        assert prompt.user.startswith(prompt.nonce + "\n\n")
        assert prompt.system is None


def test_the_nonce_comes_first_in_the_system_text_if_there_is_one() -> None:
    for prompt in _prompts(_case(_synthetic(100), system="Be brief.")):
        assert prompt.system == f"{prompt.nonce}\n\nBe brief."
        assert prompt.nonce not in prompt.user


def test_a_warm_cache_needs_no_nonce_and_one_text() -> None:
    prompts = _prompts(_case(_synthetic(100, cache="warm")))
    assert {p.nonce for p in prompts} == {""}
    assert len({p.user for p in prompts}) == 1


def test_warm_prompts_of_different_lengths_share_their_start() -> None:
    short = _prompts(_case(_synthetic(60, cache="warm")), 1)[0].user
    long = _prompts(_case(_synthetic(600, cache="warm")), 1)[0].user
    assert long.startswith(short[: short.index("\n\n") if "\n\n" in short else 60])


# --- which text


def test_prompts_depend_on_nothing_but_seed_block_and_index() -> None:
    case = _case(_synthetic(150))
    assert _prompts(case) == _prompts(case)
    assert _prompts(case)[7] == prompt_source(case, _plan(case)).prompt(_plan(case).blocks[0], 7)


def test_another_salt_changes_the_nonce_only() -> None:
    case = _case(_synthetic(150))
    for one, other in zip(_prompts(case, salt=1), _prompts(case, salt=2), strict=True):
        assert one.nonce != other.nonce
        assert one.sha256 == other.sha256


def test_both_blocks_of_a_pair_have_the_same_text_and_their_own_nonce() -> None:
    case = _case(_synthetic(150))
    plan = _plan(case)
    source = prompt_source(case, plan)
    a = Block(0, "c", 0, 99, pair=0, side="a", position=0)
    b = Block(1, "c", 0, 99, pair=0, side="b", position=1)
    for index in range(10):
        one, other = source.prompt(a, index), source.prompt(b, index)
        assert one.sha256 == other.sha256
        assert one.user != other.user


def test_warm_up_does_not_repeat_measured_prompts() -> None:
    case = _case(_synthetic(400))
    plan = _plan(case)
    source = prompt_source(case, plan)
    measured = {source.prompt(plan.blocks[0], i).sha256 for i in range(50)}
    warmup = {source.prompt(plan.blocks[0], i, warmup=True).sha256 for i in range(20)}
    assert len(measured) == 50
    assert not measured & warmup


def test_inline_prompts_are_each_used_once_before_any_again() -> None:
    texts = ("one", "two", "three", "four")
    used = [p.user.split("\n\n")[1] for p in _prompts(_case(PromptSpec(inline=texts)), 12)]
    for first in (0, 4, 8):
        assert sorted(used[first : first + 4]) == sorted(texts)
    assert used[:4] != used[4:8] or used[4:8] != used[8:]


def test_records_of_a_file_bring_their_own_system_and_length() -> None:
    records = ({"prompt": "hello", "system": "Be kind.", "output_tokens": 9},)
    case = _case(PromptSpec(file="p.jsonl"), system="Be brief.")
    prompt = _prompts(case, 1, prompt_files={"p.jsonl": records})[0]
    assert prompt.system is not None and prompt.system.endswith("Be kind.")
    assert (prompt.user, prompt.num_predict) == ("hello", 9)


def test_drawn_output_lengths_take_the_place_of_num_predict() -> None:
    made = SyntheticPrompts(
        Distribution("fixed", {"value": 100}),
        Distribution("uniform", {"low": 10, "high": 50}),
        "en",
    )
    lengths = [p.num_predict for p in _prompts(_case(PromptSpec(synthetic=made)), 50)]
    assert all(n is not None and 10 <= n <= 50 for n in lengths)
    assert len(set(lengths)) > 10


def test_drawn_lengths_leave_room_in_the_context() -> None:
    made = SyntheticPrompts(Distribution("lognormal", {"median": 900, "p95": 4000}), None, "en")
    case = _case(PromptSpec(synthetic=made), options={"num_ctx": 1024, "num_predict": 100})
    targets = [p.target_input_tokens for p in _prompts(case, 50)]
    assert max(t for t in targets if t is not None) == int(1024 * 0.98) - 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_long_prompts_ask_for_a_long_answer(language: str) -> None:
    for prompt in _prompts(_case(_synthetic(300, language)), 5):
        assert prompt.user.endswith(CLOSINGS[language])


# --- how long


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("tokens", [60, 200, 1000, 5000])
def test_text_is_as_long_as_asked(language: str, tokens: int) -> None:
    rates = TokenRates("m", language, 1.25, 30.0, measured=True)
    case = _case(_synthetic(tokens, language))
    plan = _plan(case)
    source = prompt_source(case, plan, rates)
    for index in range(20):
        prompt = source.prompt(plan.blocks[0], index)
        assert prompt.target_input_tokens == tokens
        assert 30.0 + 1.25 * prompt.units == pytest.approx(tokens, abs=4)


def test_a_target_below_the_overhead_gives_the_shortest_prompt() -> None:
    prompt = _prompts(_case(_synthetic(5)), 1)[0]
    assert prompt.user == prompt.nonce + "\n\n"
    assert prompt.units == 0


@settings(deadline=None)
@given(st.sampled_from(LANGUAGES), st.integers(0, 10_000), st.floats(1, 3))
def test_a_passage_repeats_nothing_until_the_text_is_used_up(
    language: str, start: int, rounds: float
) -> None:
    corpus = load_corpus(language)
    text, units = corpus.passage(start, corpus.length * min(rounds, 0.9))
    assert units == pytest.approx(corpus.length * min(rounds, 0.9), abs=5)
    chunks = [text[i : i + 80] for i in range(0, len(text) - 80, 80)]
    assert len(set(chunks)) == len(chunks)
    longer, units = corpus.passage(start, corpus.length * rounds)
    assert units == pytest.approx(corpus.length * rounds, abs=5)
    assert len(longer) == pytest.approx(len(corpus.text) * rounds, rel=0.1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_passages_start_at_many_places(language: str) -> None:
    corpus = load_corpus(language)
    begins = {corpus.passage(start, 20)[0][:12] for start in range(len(corpus.starts))}
    assert len(begins) >= 50


@pytest.mark.parametrize("language", LANGUAGES)
def test_counted_units_and_the_rule_of_thumb_agree_roughly(language: str) -> None:
    corpus = load_corpus(language)
    assert units_of(corpus.text, language) == pytest.approx(corpus.length, rel=0.4)


# --- calibration


def test_calibration_finds_overhead_and_rate() -> None:
    rates = fit_calibration([0, 200, 400], [31, 271, 511], model="m")
    assert rates.measured
    assert rates.overhead_tokens == pytest.approx(31)
    assert rates.tokens_per_unit == pytest.approx(1.2)
    assert rates.units(300) == pytest.approx((300 - 31) / 1.2)


def test_calibration_needs_counts_that_grow() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        fit_calibration([10, 100], [50, 50])
    with pytest.raises(ValueError, match="two different lengths"):
        fit_calibration([10, 10], [50, 51])


def test_calibration_prompts_span_the_lengths_of_the_case() -> None:
    case = _case(_synthetic(1200))
    plan = _plan(case)
    prompts = calibration_prompts(case, plan, plan.blocks[0])
    assert [round(p.units, -2) for p in prompts] == [0, 600, 1200]
    measured = prompt_source(case, plan).prompt(plan.blocks[0], 0)
    assert len({p.nonce for p in prompts} | {measured.nonce}) == 4


@pytest.mark.parametrize("system", [None, "You are a careful assistant."])
@pytest.mark.parametrize("tokens", [60, 800])
def test_prompts_for_a_warm_cache_are_calibrated_without_a_nonce(
    tokens: int, system: str | None
) -> None:
    """Every digit and blank of a nonce costs a token here: 60 tokens asked for became 43."""

    def count(prompt: Prompt) -> int:
        text = (prompt.system or "") + prompt.user
        digits = sum(c.isdigit() for c in text)
        return 25 + digits + round((len(text.encode()) - digits) / 4.2)

    case = _case(_synthetic(tokens, cache="warm"), system=system)
    plan = _plan(case)
    tries = calibration_prompts(case, plan, plan.blocks[0])
    assert all(not p.nonce and p.user for p in tries)
    rates = fit_calibration([p.units for p in tries], [count(p) for p in tries])
    sent = prompt_source(case, plan, rates).prompt(plan.blocks[1], 3)
    assert not sent.nonce
    assert count(sent) == pytest.approx(tokens, rel=0.1)


def test_calibration_without_a_nonce_reads_other_texts_in_every_run() -> None:
    case = _case(_synthetic(60, cache="warm"))
    plan = _plan(case)
    later = replace(plan, salt=plan.salt + 1)
    texts = [{p.user for p in calibration_prompts(case, p, p.blocks[0])} for p in (plan, later)]
    assert not texts[0] & texts[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_calibrated_prompt_meets_its_token_count(language: str) -> None:
    """A made-up tokenizer, of which nothing is known but its counts: 3.1 bytes make a token."""

    def count(text: str) -> int:
        return 25 + round(len(text.encode()) / 3.1)

    case = _case(_synthetic(800, language))
    plan = _plan(case)
    tries = calibration_prompts(case, plan, plan.blocks[0])
    rates = fit_calibration([p.units for p in tries], [count(p.user) for p in tries])
    source = prompt_source(case, plan, rates)
    counts = [count(source.prompt(plan.blocks[1], i).user) for i in range(30)]
    assert sum(counts) / 30 == pytest.approx(800, rel=0.05)
