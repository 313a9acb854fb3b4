"""The order of the blocks: drawn from the seed, and interleaved."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from bench.scenario.options import LOAD_TIME
from bench.scenario.plan import Block, Case

T = TypeVar("T")


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
    leading = tuple(group[0] for group in beside.values())
    blocks: list[Block] = []
    for repetition in range(repetitions):
        for first in _shuffled(leading, rng):
            group = beside[first.together or first.id]
            at = len(blocks) if len(group) > 1 else None
            for case in group:
                its_seed = block_seed(seed, repetition)
                blocks.append(Block(len(blocks), case.id, repetition, its_seed, beside=at))
    return tuple(blocks)


def _shuffled(cases: tuple[Case, ...], rng: random.Random) -> list[Case]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(loaded_state(case), []).append(case)
    return [
        case
        for group in _in_any_order(list(groups.values()), rng)
        for case in _in_any_order(group, rng)
    ]


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
        for which in _in_any_order(range(len(sides)), rng):
            a, b = sides[which]
            a_first = first_is_a[which] == (repetition % 2 == 0)
            members = [(a, "a"), (b, "b")] if a_first else [(b, "b"), (a, "a")]
            number = len(blocks) // 2
            for position, (case, side) in enumerate(members):
                blocks.append(
                    Block(
                        index=len(blocks),
                        case=case.id,
                        repetition=repetition,
                        seed=block_seed(seed, repetition),
                        pair=number,
                        side="a" if side == "a" else "b",
                        position=position,
                    )
                )
    return tuple(blocks)
