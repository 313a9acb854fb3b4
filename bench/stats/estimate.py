"""A number with its interval, or what it would take to have one."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of every interval that is shown."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: the point estimate; None when the data cannot support one: a percentile always has
            its interval, a mean or a rate may stand alone, as what these requests came to.
        low, high: ends of the 95 % interval; None when there is none.
        needs: how many an interval would take, when there is none but might be.
        method: how the interval was made, e.g. "t, 6 blocks".
        needs_unit: what `needs` counts: "requests", "blocks" or, for a share, "blocks with each
            outcome": some with requests that count, and some with others.
        if_independent: of a share without an interval: the ends of the one that would hold if
            requests were independent; None where the data show that they are not.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    needs: int | None = None
    method: str = ""
    needs_unit: str = "requests"
    if_independent: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Of the interval or, if there is none, of the one that independent requests would have."""
        return self.if_independent or (self.low, self.high)

    @property
    def needed(self) -> str:
        """What it would take, in words: "needs 72 requests"; "" if nothing is missing."""
        if not self.needs:
            return ""
        needed = f"needs {self.needs:,} {self.needs_unit}"
        if self.if_independent is None:
            return needed
        low, high = (f"{100 * end:.3g}" for end in self.if_independent)
        return f"{needed}; {low} to {high} % if requests are independent"
