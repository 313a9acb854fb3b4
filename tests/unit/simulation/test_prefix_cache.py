"""The prefix cache's rules, against figures of a real llama-server (b11549) and by hand.

The patterns are sessions that take turns: prompts of 192 to 360 tokens, each longer than the last
by 42; what is compared is the share of prompt tokens cached after the first turn.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from bench.simulation.prefix_cache import CacheRules, PrefixCache, Tokens, shifted

FIRST, STEP, TURNS = 192, 42, 5
RAM = CacheRules(host_mib=8192, bytes_per_token=1)
NEVER_SIMILAR = CacheRules(host_mib=8192, bytes_per_token=1, similarity=0)
NO_RAM = CacheRules(host_mib=0)
LONGEST = CacheRules(choice="longest")
FORK = CacheRules(choice="fork")


def words(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(3, 32_000) for _ in range(count)]


def ask(cache: PrefixCache, prompt: list[int]) -> int:
    """One request that puts out one token, which the slot does not keep."""
    slot, found = cache.take(prompt)
    cache.evaluated(slot, prompt)
    cache.release(slot, prompt, len(prompt))
    return found


def sequences(sessions: int, shared: int, length: int) -> list[list[int]]:
    draw = random.Random(1)
    head = words(draw, shared)
    return [head + words(draw, length - shared) for _ in range(sessions)]


def reused(sessions: int, slots: int, rules: CacheRules, shared: int) -> float:
    """The share of prompt tokens cached after the first turn."""
    cache = PrefixCache(slots, rules)
    whole = sequences(sessions, shared, FIRST + STEP * (TURNS - 1))
    found = asked = 0
    for turn in range(TURNS):
        for session in whole:
            prompt = session[: FIRST + STEP * turn]
            cached = ask(cache, prompt)
            found, asked = found + cached * bool(turn), asked + len(prompt) * bool(turn)
    return found / asked


@pytest.mark.parametrize(
    ("sessions", "slots", "rules", "shared", "real"),
    [
        (2, 2, RAM, 0, 0.857),
        (2, 2, NO_RAM, 0, 0.857),
        (4, 2, NO_RAM, 5, 0.019),
        (3, 1, RAM, 35, 0.876),
        (3, 2, RAM, 35, 0.876),
        (3, 1, RAM, 180, 0.607),
        (3, 2, RAM, 180, 0.607),
        (2, 4, RAM, 180, 0.607),
        (4, 2, RAM, 0, 0.859),
        (2, 4, NEVER_SIMILAR, 180, 0.760),
    ],
)
def test_sessions_share_slots_as_on_a_real_server(
    sessions: int, slots: int, rules: CacheRules, shared: int, real: float
) -> None:
    assert reused(sessions, slots, rules, shared) == pytest.approx(real, abs=0.03)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_side_request_with_the_same_head_voids_the_history(slots: int) -> None:
    """Real: 158 of 516, though the host's memory holds all 494 of the main session."""
    draw = random.Random(2)
    main = words(draw, 516)
    cache = PrefixCache(slots, RAM)
    ask(cache, main[:494])
    assert ask(cache, main[:158] + words(draw, 21)) == 158
    assert cache.host_bytes == 494
    assert ask(cache, main) == 158


@pytest.mark.parametrize("slots", [1, 2])
def test_a_side_request_with_another_head_does_no_harm(slots: int) -> None:
    """Real: 516 of 538."""
    draw = random.Random(3)
    main = words(draw, 538)
    cache = PrefixCache(slots, RAM)
    ask(cache, main[:516])
    assert ask(cache, words(draw, 69)) == 0
    assert ask(cache, main) == 516


def test_three_at_once_read_the_head_once_each_then_find_it() -> None:
    """Reported for llama.cpp: 230 / 0 / 0 of 267 in the first wave, 230 each in the second."""
    first, second, third, later = sequences(4, 230, 267)
    cache = PrefixCache(3, RAM)
    ask(cache, first)

    def wave(*prompts: list[int]) -> list[int]:
        taken = [cache.take(prompt) for prompt in prompts]
        for (slot, _), prompt in zip(taken, prompts, strict=True):
            cache.release(slot, prompt, len(prompt))
        return [found for _, found in taken]

    assert wave(second, third, later) == [230, 0, 0]
    assert wave(*sequences(7, 230, 267)[4:]) == [230, 230, 230]


def test_below_a_tenth_the_least_recently_used_slot_is_taken() -> None:
    draw = random.Random(4)
    old, new = words(draw, 100), words(draw, 100)
    cache = PrefixCache(2, NO_RAM)
    assert [cache.take(old)[0], cache.take(new)[0]] == [1, 0]
    cache.release(1, old, 100)
    cache.release(0, new, 100)
    assert cache.take(new[:10] + words(draw, 90)) == (1, 0)  # 0.1 is not more than 0.1
    cache.release(1, old, 100)
    assert cache.take(old[:11] + words(draw, 89)) == (1, 11)


def test_the_host_forgets_the_oldest_when_it_is_full_but_keeps_one() -> None:
    def back_after(rules: CacheRules) -> list[int]:
        a, b, c = sequences(3, 0, 100)
        cache = PrefixCache(1, rules)
        for prompt in (a, b, c):
            ask(cache, prompt)
        assert cache.host_bytes <= max(rules.host_mib * 2**20, 100 * rules.bytes_per_token)
        return [ask(cache, a), ask(cache, b)]

    kib = 1 << 10
    assert back_after(CacheRules(host_mib=1, bytes_per_token=kib)) == [99, 99]
    assert back_after(CacheRules(host_mib=1, bytes_per_token=10 * kib)) == [0, 0]
    assert back_after(CacheRules(host_mib=1, bytes_per_token=20 * kib)) == [0, 0]


def test_what_is_loaded_leaves_the_host_and_what_goes_on_replaces_its_beginning() -> None:
    a, b = sequences(2, 0, 100)
    cache = PrefixCache(1, RAM)
    saved = []
    for prompt in (a[:50], b, a, b[:60], a):
        ask(cache, prompt)
        saved.append(cache.host_bytes)
    assert saved == [0, 50, 100, 100, 60]


def test_the_go_runners_save_nothing_and_take_the_longest() -> None:
    a, b = sequences(2, 30, 100)
    cache = PrefixCache(2, LONGEST)
    assert ask(cache, a) == 0
    assert ask(cache, b) == 30  # in a's slot: the other one stays empty
    assert ask(cache, a) == 30
    assert cache.host_bytes == 0


def test_with_the_multiuser_cache_a_shared_head_is_copied() -> None:
    a, b, c = sequences(3, 30, 100)
    cache = PrefixCache(2, FORK)
    assert [ask(cache, a), ask(cache, b)] == [0, 30]
    assert [ask(cache, [*a, 9]), ask(cache, [*b, 9])] == [100, 100]
    slot, found = cache.take(c)
    assert found == 30
    cache.release(slot, c, 100)
    assert ask(cache, [*b, 9, 9]) == 101


@pytest.mark.parametrize("rules", [RAM, LONGEST, FORK])
def test_one_token_is_always_read_again(rules: CacheRules) -> None:
    cache = PrefixCache(1, rules)
    assert [ask(cache, [7] * 20), ask(cache, [7] * 20)] == [0, 19]


def test_a_hybrid_model_goes_back_to_a_checkpoint_only() -> None:
    draw = random.Random(5)
    whole = words(draw, 20_000)
    rules = CacheRules(host_mib=0, checkpoints=True)

    def after(first: int, second: list[int]) -> int:
        cache = PrefixCache(1, rules)
        ask(cache, whole[:first])
        return ask(cache, second)

    assert after(18_000, whole) == 18_000  # all of it is continued
    assert after(18_000, whole[:17_998] + words(draw, 100)) == 17_996  # near the prompt's end
    assert after(18_000, whole[:17_000] + words(draw, 100)) == 16_384
    assert after(18_000, whole[:9_000] + words(draw, 9_000)) == 8_192
    assert after(18_000, whole[:8_000] + words(draw, 9_000)) == 0


def test_a_context_that_was_shifted_shares_its_first_tokens_only() -> None:
    tokens: Any = np.arange(130)
    held: Tokens = shifted(tokens, 100, 4)
    assert len(held) == 82
    assert held[:5].tolist() == [0, 1, 2, 3, 52]
    assert held[-1] == 129
    assert shifted(tokens, 130, 4).tolist() == list(range(130))
