"""Numbers for people: the unit that fits, and as many digits as the interval can carry.

Rounding rule: half the width of the interval is given two significant digits if it begins with 1,
else one, and the value is rounded to the same place (after ISO 80000-1, annex B, and the Particle
Data Group's habit). The second digit is given only while the value has no more than three, and no
value gets more than four: an interval that is narrower than that is said to be ("± <0.1"). A number
without an interval gets three significant digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bench.analysis.run.summary import Estimate

PLUS_MINUS: Final = "\u00b1"
RANGE: Final = "\u2013"
NO_INTERVAL: Final = "no interval"
NO_VALUE: Final = "\u2014"
_MINUS: Final = "\u2212"
_MAX_DECIMALS: Final = 6
_MOST_DIGITS: Final = 4
_ENOUGH_DIGITS: Final = 3
# Above this ratio of the longer to the shorter side, an interval is written out, not as a ±.
_LOPSIDED: Final = 1.5


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit for display: shown = stored x factor."""

    unit: str
    factor: float = 1.0


# A column of times of both sizes is in milliseconds: "12.3 ms" beside "5,210 ms" is easier to read
# than "0.0123 s" beside "5.21 s".
_SHORT_S: Final = 0.1
_STILL_MS_S: Final = 10.0

_SECONDS: Final = (
    (120.0, Scale("min", 1 / 60)),
    (0.1, Scale("s")),
    (1e-4, Scale("ms", 1e3)),
    (0.0, Scale("\u00b5s", 1e6)),
)
_BYTES: Final = (
    (2.0**30, Scale("GiB", 2.0**-30)),
    (2.0**20, Scale("MiB", 2.0**-20)),
    (2.0**10, Scale("KiB", 2.0**-10)),
    (0.0, Scale("B")),
)
_FIXED: Final = {
    **{"1/s": Scale("/s"), "per_s": Scale("/s"), "1": Scale("")},
    **{"request/s": Scale("requests/s"), "req/s": Scale("requests/s")},
    **{"ratio": Scale("%", 100.0), "share": Scale("%", 100.0)},
}


def scale_for(unit: str, *values: float | None) -> Scale:
    """The display unit for stored values of `unit` ("s", "tok/s", "ratio", "B", ...).

    One scale serves a whole column: the one that fits its largest value, or milliseconds if the
    smallest needs them and the largest bears them.
    """
    sizes = sorted(abs(v) for v in values if v is not None and math.isfinite(v) and v != 0)
    steps = {"s": _SECONDS, "B": _BYTES, "bytes": _BYTES}.get(unit)
    if steps is None:
        return _FIXED.get(unit, Scale(unit))
    if not sizes:
        return Scale("s") if unit == "s" else Scale("B")
    if unit == "s" and sizes[0] < _SHORT_S <= sizes[-1] < _STILL_MS_S:
        return Scale("ms", 1e3)
    return next(scale for least, scale in steps if sizes[-1] >= least)


@dataclass(frozen=True, slots=True)
class Shown:
    """A number as it is displayed.

    Attributes:
        text: the number alone, "48.1"; NO_VALUE if there is none.
        interval: "± 0.6" or "47.2–49.0"; "" if there is none. "0–1.5 if independent" is none, but
            what would be one if requests did not fail in clumps.
        unit: "tok/s"; "" for plain numbers.
        raw: the stored value, unrounded and in the stored unit.
        factor: displayed = raw x factor.
        why: why there is no number, or no interval: "needs 72 requests".
        bare: it should have an interval, but the data cannot support one.
    """

    text: str
    interval: str = ""
    unit: str = ""
    raw: float | None = None
    factor: float = 1.0
    why: str = ""
    bare: bool = False

    @property
    def number(self) -> str:
        """Number and unit: "48.1 tok/s"."""
        if self.raw is None:
            return self.why or self.text
        return f"{self.text} {self.unit}".rstrip()

    @property
    def full(self) -> str:
        """Number, unit and interval: "48.1 tok/s ± 0.6", "0.21 s (0.19–0.24)"."""
        if self.raw is None or not self.interval:
            return f"{self.number} ({NO_INTERVAL}: {self.why})" if self.bare else self.number
        return f"{self.number} {self.beside}"

    @property
    def cell(self) -> str:
        """For a column whose head carries the unit: "48.1 ± 0.6"."""
        if self.raw is None:
            return self.why or self.text
        beside = f"({NO_INTERVAL})" if self.bare and not self.interval else self.beside
        return f"{self.text} {beside}".rstrip()

    @property
    def beside(self) -> str:
        """The interval beside its number: "± 0.6", "(47.2–49.0)"; "" if there is none."""
        even = not self.interval or self.interval.startswith(PLUS_MINUS)
        return self.interval if even else f"({self.interval})"


def show(
    estimate: Estimate | None, unit: str, scale: Scale | None = None, stat: str = "value"
) -> Shown:
    """An estimate for display.

    Args:
        estimate: None if there is no such statistic.
        unit: the stored unit.
        scale: that of the column; None = the one that fits this number.
        stat: name of the statistic; a percentile is not shown without both ends of its interval.
    """
    if estimate is None:
        return Shown(NO_VALUE)
    if not supported(estimate, stat):
        return Shown(NO_VALUE, why=estimate.needed)
    value = estimate.value
    assert value is not None
    scale = scale or scale_for(unit, value)
    low, high = (None if end is None else end * scale.factor for end in estimate.ends)
    decimals = decimals_for(value * scale.factor, low, high)
    interval = _interval(value * scale.factor, low, high, decimals)
    if estimate.if_independent is not None:
        interval += " if independent"
    return Shown(
        text=number(value * scale.factor, decimals),
        interval=interval,
        unit=scale.unit,
        raw=value,
        factor=scale.factor,
        why=estimate.needed,
        bare=estimate.needs is not None and not interval,
    )


def show_value(value: float | None, unit: str, scale: Scale | None = None) -> Shown:
    """A number without an interval, for display."""
    return show(None if value is None else Estimate(value), unit, scale)


def supported(estimate: Estimate, stat: str = "value") -> bool:
    """Whether the data carry this number.

    A percentile whose interval lacks an end is not shown as a number: "p99" of 20 requests is their
    maximum under another name.
    """
    if estimate.value is None or not math.isfinite(estimate.value):
        return False
    return not is_percentile(stat) or (estimate.low is not None and estimate.high is not None)


def is_percentile(stat: str) -> bool:
    """True for "p50", "p95", ..."""
    return stat[:1] == "p" and stat[1:].replace(".", "", 1).isdigit()


def decimals_for(value: float, low: float | None, high: float | None) -> int:
    """How many decimals a value deserves, given the ends of its interval."""
    leading = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else None
    if low is not None and high is not None and math.isfinite(high - low) and high > low:
        half = (high - low) / 2
        decimals = _clip(_decimals_of(half, leading))
        shown = number(value, decimals)
        # One more place where the value would else seem to be an end of its interval.
        seems_an_end = shown in (number(low, decimals), number(high, decimals))
        decimals += seems_an_end and low < value < high
        return _clip(decimals if leading is None else min(decimals, _MOST_DIGITS - 1 - leading))
    if leading is None:
        return 0
    if low == high and low is not None:
        whole = value == round(value) and abs(value) < 1e6
        return 0 if whole else _clip(_MOST_DIGITS - 1 - leading)
    return _clip(_ENOUGH_DIGITS - 1 - leading)


def _decimals_of(half: float, leading: int | None) -> int:
    """Decimals of half an interval, for a value that begins at the place `leading`."""
    exponent = math.floor(math.log10(half))
    first = half / 10.0**exponent
    if round(first, 1) >= 2:
        return -exponent
    enough = leading is not None and leading - exponent + 2 > _ENOUGH_DIGITS
    return -exponent if enough else 1 - exponent


def _clip(decimals: int) -> int:
    return min(max(decimals, 0), _MAX_DECIMALS)


def number(value: float, decimals: int) -> str:
    """A number with fixed decimals, a proper minus sign and thousands marked."""
    text = f"{value:,.{decimals}f}"
    if text.lstrip("-").strip("0.,") == "":
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def three_digits(value: float) -> str:
    """A number of three digits without trailing zeros, or whole: "0.5", "48.2", "1,230"."""
    return number(value, 0) if abs(value) >= 100 else f"{value:.3g}"


def count(value: int) -> str:
    """A whole number with thousands marked."""
    return number(value, 0)


def plural(value: int, noun: str) -> str:
    """A count with its noun: "1 request", "2,000 requests"."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def percent(share: float, decimals: int | None = None) -> str:
    """A share of 1 as a percentage."""
    value = share * 100
    if decimals is None:
        decimals = 0 if abs(value) >= 10 or value == round(value) else 1
    return f"{number(value, decimals)}\u202f%"


def duration(seconds: float) -> str:
    """A span of time in words: "850 ms", "12.4 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return show_value(seconds, "s").number
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def minute(stamp: str) -> str:
    """A time stamp to the minute: "2026-01-01 10:15"."""
    return stamp[:16].replace("T", " ")


def _interval(value: float, low: float | None, high: float | None, decimals: int) -> str:
    if low is None or high is None or high < low or (low == high and decimals == 0):
        return ""
    if (high - low) / 2 < 0.5 * 10.0**-decimals:
        return f"{PLUS_MINUS} <{number(10.0**-decimals, decimals)}"
    below, above = value - low, high - value
    even = min(below, above) > 0 and max(below, above) <= _LOPSIDED * min(below, above)
    # "14 ± 19" would say that a speed may be negative, which its interval does not.
    if even and not low >= 0 > value - max(below, above):
        return f"{PLUS_MINUS} {number(max(below, above), decimals)}"
    return f"{number(low, decimals)}{RANGE}{number(high, decimals)}"
