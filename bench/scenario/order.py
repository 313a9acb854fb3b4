"""The order of the blocks: drawn from the seed, and interleaved."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from bench.scenario.plan import Block, Case

T = TypeVar("T")

LOAD_TIME = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"}
)
"""Options whose change makes the server load the model again (`sched.go:needsReload`)."""


def block_seed(seed: int, repetition: int) -> int:
    """The seed of the blocks of one repetition: the same in all cases, so their prompts are too."""
    digest = hashlib.sha256(f"block {seed} {repetition}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def loaded_state(case: Case) -> str:
    """What the server must have loaded for a case: another value means loading again."""
    options = {name: value for name, value in sorted(case.options.items()) if name in LOAD_TIME}
    return repr((case.target, case.model, options))


def interleaved(cases: tuple[Case, ...], repetitions: int, seed: int) -> tuple[Block, ...]:
    """Every repetition runs all cases in a new drawn order.

    Cases that the server can serve without loading a model again stay together within a
    repetition: drawn are the order of these groups, and the order within each.
    """
    rng = random.Random(f"order {seed}")
    beside: dict[str, list[Case]] = {}
    for case in cases:
        beside.setdefault(case.together or case.id, []).append(case)
    alike: dict[str, list[list[Case]]] = {}
    for group in beside.values():
        alike.setdefault(loaded_state(group[0]), []).append(group)
    blocks: list[Block] = []
    for repetition in range(repetitions):
        its_seed = block_seed(seed, repetition)
        for groups in _in_any_order(list(alike.values()), rng):
            for group in _in_any_order(groups, rng):
                at = len(blocks) if len(group) > 1 else None
                for case in group:
                    blocks.append(Block(len(blocks), case.id, repetition, its_seed, beside=at))
    return tuple(blocks)


def at_once(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """The blocks in their order, those that run at the same time in one list."""
    for _, group in groupby(blocks, lambda b: b.index if b.beside is None else b.beside):
        yield list(group)


def _in_any_order(things: Sequence[T], rng: random.Random) -> list[T]:
    return rng.sample(things, len(things))


def paired(sides: list[tuple[Case, Case]], pairs: int, seed: int) -> tuple[Block, ...]:
    """Pairs of blocks; which side is first alternates from pair to pair of a case."""
    rng = random.Random(f"pairs {seed}")
    first_is_a = [rng.random() < 0.5 for _ in sides]
    blocks: list[Block] = []
    for repetition in range(pairs):
        its_seed = block_seed(seed, repetition)
        for which in _in_any_order(range(len(sides)), rng):
            a, b = (Block(0, case.id, repetition, its_seed) for case in sides[which])
            pair = [replace(a, side="a"), replace(b, side="b")]
            if first_is_a[which] != (repetition % 2 == 0):
                pair.reverse()
            for position, block in enumerate(pair):
                made = replace(block, index=len(blocks), pair=len(blocks) // 2, position=position)
                blocks.append(made)
    return tuple(blocks)
