"""Prompts that are lists of block hashes, as few stretches of text.

A prompt of 100,000 tokens has 1,600 hashes of 64 tokens, and the next one of the same session has
1,610. Only common beginnings matter, so all prompts together form a tree; each is a path in it, and
a stretch is one edge, or the beginning of one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.scenario.session_files.rows import Numbers

Stretches = tuple[tuple[int, ...], tuple[int, ...]]
"""Identities of stretches, and the tokens of each: `Step.blocks` and `Step.lengths`."""

MOST_BLOCKS = 50_000_000
"""Of one file; a machine's memory holds them."""


@dataclass(frozen=True, slots=True)
class _Path:
    """A prompt in the tree: its hashes, its edges, and how many blocks of each it has."""

    hashes: array[int] = field(default_factory=lambda: array("q"))
    edges: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    at: tuple[int, int] = (-1, 0)


@dataclass(slots=True)
class BlockTree:
    """All prompts within which a hash means the same text.

    Attributes:
        numbers: of the file.
    """

    numbers: Numbers
    _blocks: dict[int, array[int]] = field(default_factory=dict)
    _below: dict[tuple[int, int, int], int] = field(default_factory=dict)
    _held: int = 0
    _last: _Path = field(default_factory=lambda: _Path())

    def stretches(self, hashes: Iterable[int], size: int, tokens: int) -> Stretches:
        """A prompt.

        A block has `size` tokens; the last may be partly filled, or be followed by tokens that are
        too few for a block.

        Raises:
            ValueError: the file holds too many blocks.
        """
        left = array("q", hashes)
        whole, path, last = left, _Path(), self._last
        # Most prompts begin with all of the one before, which ends where an edge does.
        ends = bool(last.edges) and last.at[1] == len(self._blocks[last.at[0]])
        if ends and left[: len(last.hashes)] == last.hashes:
            path, left = last, left[len(last.hashes) :]
        at, edges, counts = path.at, list(path.edges), list(path.counts)
        while left:
            edge = self._below.get((*at, left[0]))
            if edge is None:
                edge = self._new_edge(at, left)
            same = _common(self._blocks[edge], left)
            edges.append(edge)
            counts.append(same)
            at = (edge, same)
            left = left[same:]
        self._last = _Path(whole, tuple(edges), tuple(counts), at)
        return self._cut(edges, [count * size for count in counts], tokens)

    def _new_edge(self, at: tuple[int, int], blocks: array[int]) -> int:
        self._held += len(blocks)
        if self._held > MOST_BLOCKS:
            raise ValueError(f"more than {MOST_BLOCKS:,} different blocks: take fewer sessions")
        edge = self.numbers.new()
        self._below[(*at, blocks[0])] = edge
        self._blocks[edge] = blocks
        return edge

    def _cut(self, blocks: list[int], lengths: list[int], tokens: int) -> Stretches:
        over = sum(lengths) - tokens
        while over > 0 and lengths:
            cut = min(over, lengths[-1])
            lengths[-1] -= cut
            over -= cut
            if not lengths[-1]:
                blocks.pop()
                lengths.pop()
        if over < 0:
            blocks.append(self.numbers.new())
            lengths.append(-over)
        return tuple(blocks), tuple(lengths)


def continued(before: Stretches, kept: int, tokens: int, numbers: Numbers) -> Stretches:
    """A prompt that begins with tokens of another one and goes on with text of its own.

    `kept` are leading tokens of the other, `tokens` are all of the new one, at least as many.
    """
    blocks, lengths = [], []
    for block, length in zip(*before, strict=True):
        if kept <= 0:
            break
        blocks.append(block)
        lengths.append(min(length, kept))
        kept -= length
    if (rest := tokens - sum(lengths)) > 0:
        blocks.append(numbers.new())
        lengths.append(rest)
    return tuple(blocks), tuple(lengths)


def _common(edge: array[int], left: array[int]) -> int:
    """How many leading blocks are the same; the first ones are."""
    size = min(len(edge), len(left))
    if edge[:size] == left[:size]:
        return size
    low, high = 1, size  # the first `low` are the same, the first `high` are not
    while high - low > 1:
        middle = (low + high) // 2
        if edge[low:middle] == left[low:middle]:
            low = middle
        else:
            high = middle
    return low
