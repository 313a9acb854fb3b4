"""Stretches share exactly the leading tokens that the hashes share."""

import random

from bench.scenario.block_text import shared_tokens
from bench.scenario.session_files.block_tree import BlockTree, continued
from bench.scenario.session_files.rows import Numbers


def leading(a: list[int], b: list[int]) -> int:
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return same


def test_any_prompts_in_any_order():
    rng = random.Random(5)
    for _ in range(200):
        tree = BlockTree(Numbers())
        prompts: list[list[int]] = []
        made = []
        for _ in range(12):
            begin = rng.choice(prompts)[: rng.randrange(1, 9)] if prompts else []
            prompt = begin + [rng.randrange(4) for _ in range(rng.randrange(0, 5))]
            prompt = prompt or [1]
            tokens = len(prompt) * 16 - rng.randrange(16)
            prompts.append(prompt)
            made.append((tokens, tree.stretches(prompt, 16, tokens)))
        for i, (a, (one_tokens, one)) in enumerate(zip(prompts, made, strict=True)):
            assert sum(one[1]) == one_tokens
            for b, (other_tokens, other) in list(zip(prompts, made, strict=True))[:i]:
                wanted = min(leading(a, b) * 16, one_tokens, other_tokens)
                assert shared_tokens(*one, *other) == wanted


def test_tokens_after_the_last_full_block_are_new_text():
    tree = BlockTree(Numbers())
    one, two = (tree.stretches([1, 2], 64, 150) for _ in range(2))
    assert (sum(one[1]), shared_tokens(*one, *two)) == (150, 128)


def test_a_prompt_that_keeps_the_beginning_of_another():
    numbers = Numbers()
    first = continued(((), ()), 0, 100, numbers)
    second = continued(first, 100, 130, numbers)
    third = continued(second, 110, 115, numbers)
    assert shared_tokens(*second, *third) == 110 and sum(third[1]) == 115
