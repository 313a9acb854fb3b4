"""The interface of everything that reports on a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

Samples = dict[str, list[tuple[int, float]]]
"""Name -> (time in ns, value). Names that end in `_share` are 0 to 1; others carry their unit;
`_energy_j` is joules since the first reading."""

_BLANKS = frozenset({0xFFFF, 2**32 - 1})
_NO_VALUE = 2.0**62
"""Drivers and exporters write all ones, or 2^63 less a little, instead of a value that they lack;
as floats those are rounded."""


NO_DEVICE_W = 10_000.0
"""More than any one board or package draws; the limit where none is known."""


class UnreadableError(Exception):
    """Nothing can be read now; the text says why. It is tried again a second later."""


class GoneError(UnreadableError):
    """Nothing will ever be read again; the text says why."""


class ElsewhereError(Exception):
    """What listens on this machine passes everything on to another; the text says so."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a source can read and what it cannot.

    Attributes:
        name: of the source, such as "nvidia 0".
        what: the device, in words.
        reads: names of the series.
        every_s: seconds between two readings of a gauge; counters of energy are read each 0.1 s.
        exactness: how exact the readings are, and what they include.
        blind: what cannot be seen -> why.
        device: how the names of its series begin, without "_"; "" of what is no single device.
        product: name of the device as its maker calls it.
        facts: numbers that do not change, such as `bus_width_bits`.
    """

    name: str
    what: str
    reads: tuple[str, ...]
    every_s: float = 1.0
    exactness: str = ""
    blind: dict[str, str] = field(default_factory=dict)
    device: str = ""
    product: str = ""
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """How to read one counter of energy.

    Attributes:
        read: joules, as the counter stands.
        wraps_at_j: value at which it starts again from 0; None = never.
        limit_w: power that the device cannot exceed; None = not known.
    """

    read: Callable[[], float]
    wraps_at_j: float | None = None
    limit_w: float | None = None


class Source(Protocol):
    """One device, process tree or machine. All methods are called from one thread."""

    description: Description
    counters: Mapping[str, EnergyCounter] = {}

    def gauges(self) -> Mapping[str, float]:
        """The values that can be read now, by name; those that cannot are left out.

        Raises:
            UnreadableError: none can be read now.
            GoneError: the device is lost.
        """

    def close(self) -> None:
        """Give back what was opened."""
        return


Found: TypeAlias = tuple[Sequence[Source], Mapping[str, str]]
"""The sources of one kind, and what is there but cannot be read -> why."""
Finder = Callable[[], Found]
"""Opens the sources of one kind.

It raises UnreadableError if it should be asked again a second later, such as of a card that sleeps.
"""


def is_blank(value: float) -> bool:
    """Whether a raw value is a driver's mark for "I do not know"."""
    return value in _BLANKS or value >= _NO_VALUE
