"""What a search for capacity asks for and answers: loads, probes, endings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

By = Literal["rate", "users", "sessions"]
"""What a load counts: arrivals per second, or users or sessions at once."""
FULLEST = 0.9
"""Highest share of the server's throughput that a memory is reckoned for: beyond it none ends."""
CYCLE = 4
"""Users of a closed loop have settled when each has asked once: `SETTLE_MEMORIES` of the memory."""

SPARE = 0.9
"""Share of the time left that is planned with: the rates are estimates."""


class SearchEnding(StrEnum):
    """How a search ended."""

    CONFIRMED = "confirmed"
    """Longer probes proved one load to keep the promise, and one not far above it to break it."""
    RANGE = "range"
    """The limit lies in a range; confirmation was not reached."""
    NEVER_SATURATED = "never_saturated"
    """The promise was kept at every load up to the ceiling."""
    NEVER_PASSED = "never_passed"
    """The promise was broken at the lowest load already."""
    UNDECIDED = "undecided"
    """No load was proven to keep the promise, or none to break it."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search, and how hard.

    Attributes:
        start: first load tried (requests/s, or users).
        floor, ceiling: never probe below or above. A load that fails at a 64th of `start` ends
            the search too.
        whole: loads are whole numbers (users).
        saturation: load at which the server is full, roughly; infinite = unknown.
        slots: of the server, to be filled before anything is judged.
        cv2: squared coefficient of variation of the time a request is served.
        precision: locating ends when the bracket's ends differ by this factor or less.
        probe_requests: of a probe that locates.
        proof_requests: of the first look at a load that must be proven, at least.
        doublings: how often an undecided look is doubled.
        margin: the load that must fail is this factor above the one that must pass.
        max_probes: give up searching after so many probes.
    """

    start: float
    floor: float = 0.0
    ceiling: float = math.inf
    whole: bool = False
    saturation: float = math.inf
    slots: int = 1
    cv2: float = 0.0
    precision: float = 1.4
    probe_requests: int = 60
    proof_requests: int = 150
    doublings: int = 5
    margin: float = 1.1
    max_probes: int = 60

    def memory(self, load: float) -> float:
        """After how many arrivals a queue has forgotten, about.

        (1 + cv2) / (1 - load)^2 is the scale of its relaxation (Whitt, Management Science 1989, on
        the lengths of simulations). A closed loop has forgotten once every user has asked a few
        times.
        """
        if self.whole:
            return load / CYCLE
        return (1 + self.cv2) / (1 - min(load / self.saturation, FULLEST)) ** 2


class Purpose(StrEnum):
    """Why a probe is run."""

    SEARCH = "search"
    CONFIRM_PASS = "confirm_pass"
    CONFIRM_FAIL = "confirm_fail"


@dataclass(frozen=True, slots=True)
class Probe:
    """One stretch of load to run.

    Attributes:
        requests: how many requests are to be judged.
        settle: how many come before them, while the server fills.
        extension: 0 for a first try; else it is judged together with the tries before it.
    """

    load: float
    requests: int
    purpose: Purpose = Purpose.SEARCH
    extension: int = 0
    settle: int = 0

    @property
    def total(self) -> int:
        """All requests to send."""
        return self.settle + self.requests


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What the search found.

    Attributes:
        load: the highest load that is known to keep the promise; None if there is none.
        low, high: the limit lies between these tests; `high` is None if no load failed.
    """

    ending: SearchEnding
    load: float | None
    low: float | None
    high: float | None


def affordable(left_s: float, rate: float, response_s: float) -> int:
    """How many requests a probe may have, so that it ends within the time left."""
    expected = max(0.0, (SPARE * left_s - 2 * response_s) * rate)
    # Random arrivals may take longer than expected: by the scatter of as many (Poisson).
    return max(0, int(expected - 2 * math.sqrt(expected)))
