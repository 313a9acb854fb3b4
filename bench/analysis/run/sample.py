"""Values of one metric, and what they hang together in: requests in blocks, or gaps in requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import Bools, Floats, Ints, ShortInts, numbered, size_by
from bench.stats.block_spread import total_by


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of one metric of one case.

    Attributes:
        values: without NaN.
        blocks: number (0, 1, ...) of the block of each unit.
        owner: the unit of each value, where a unit (a request) gives many values (gaps), which are
            then not independent; None if every value is a unit of its own.
    """

    values: Floats
    blocks: Ints
    owner: Ints | ShortInts | None = None

    @property
    def units(self) -> int:
        """How many units the values come from."""
        return len(self.blocks)

    @property
    def block_count(self) -> int:
        """How many blocks the units come from."""
        return int(self.blocks.max(initial=-1)) + 1

    def by_unit(self, values: Floats | Bools) -> Floats:
        """The sum over each unit of something that every value has."""
        if self.owner is None:
            return values.astype(np.float64)
        return total_by(self.owner, values)

    @property
    def sizes(self) -> Floats:
        """How many values each unit gives."""
        if self.owner is None:
            return np.ones(len(self.values))
        return size_by(self.owner).astype(np.float64)


def one_per_request(values: Floats, blocks: Ints) -> Sample:
    """A sample with one value a request; NaN (absent) is left out."""
    there = ~np.isnan(values)
    return Sample(values[there], numbered(blocks[there]))


def many_per_request(values: Floats, position: Ints | ShortInts, blocks: Ints) -> Sample:
    """A sample with many values a request; requests without values are left out.

    Args:
        values: without NaN.
        position: of the request of each value in `blocks`, ascending.
        blocks: the block of each request, by any number.
    """
    sizes = np.bincount(position, minlength=len(blocks))
    giving = sizes > 0
    new_position = (np.cumsum(giving) - 1).astype(np.int32)
    return Sample(values, numbered(blocks[giving]), new_position[position])
