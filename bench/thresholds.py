"""Thresholds: what must hold for a run, or a load, to be good enough. A promise is a threshold.

threshold = metric [ "." statistic ] operator value
metric    = an id of `bench.metrics`, e.g. ttft_s, decode_tok_per_s, error_rate
statistic = mean | p50 | p90 | p95 | p99 | min | max      (which of them: `MetricKind.statistics`)
operator  = "<=" | "<" | ">=" | ">"
value     = number, or number and unit: 800ms or 1m30s for times, 5% for shares, 40 tok/s for speeds

A text is read once, where it enters; from there on a `Threshold` is passed on. Files hold the text.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar, cast, get_args

from bench.durations import duration_s
from bench.metrics import METRICS, MetricKind, term

Operator = Literal["<=", "<", ">=", ">"]

_OPERATORS: tuple[Operator, ...] = get_args(Operator)
_EXPRESSION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>|==|=|!=)\s*(\S.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf|nan)\s*(.*)", re.I)
_WORDS = {"<=": "at most", "<": "below", ">=": "at least", ">": "above"}
_HOLDS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MetricRef:
    """A metric, and which statistic of it; the statistic is "" for the value of the case."""

    metric: str
    statistic: str = ""

    def __str__(self) -> str:
        """As it is written in a scenario."""
        return f"{self.metric}.{self.statistic}" if self.statistic else self.metric


class Threshold:
    """One threshold: `metric.statistic op value`, the value in the unit of the metric. Frozen.

    It is no dataclass, so that encoders do not take it apart: in files it is its text
    (`to_file`, `from_file`).

    Args:
        metric: id of the metric.
        statistic: "" for the value of the case.
        op: which side of the value is good.
        value: seconds for times, 0 to 1 for shares.
        text: as it was written; for people and files.
    """

    __slots__ = ("metric", "op", "statistic", "text", "value")
    metric: str
    statistic: str
    op: Operator
    value: float
    text: str

    def __init__(self, metric: str, statistic: str, op: Operator, value: float, text: str) -> None:
        for name, given in zip(_FIELDS, (metric, statistic, op, value, text), strict=True):
            object.__setattr__(self, name, given)

    @property
    def kind(self) -> MetricKind:
        """What is known of the metric."""
        return term(self.metric)

    @property
    def ref(self) -> MetricRef:
        """The metric and its statistic."""
        return MetricRef(self.metric, self.statistic)

    @property
    def is_upper_limit(self) -> bool:
        """True for <= and <."""
        return self.op in ("<=", "<")

    @property
    def quantile(self) -> float | None:
        """0.95 for a threshold about p95; None if it is not about a percentile."""
        return quantile_of(self.statistic)

    @property
    def label(self) -> str:
        """What it is about, in words: "Time to first text, p95"."""
        return ", ".join(filter(None, (self.kind.label, self.statistic)))

    @property
    def meaning(self) -> str:
        """All of it in words: "Time to first text, p95: at most 2 s"."""
        unit = self.kind.unit
        number = f"{self.value * 100:g} %" if self.kind.kind == "share" else f"{self.value:g}"
        return f"{self.label}: {_WORDS[self.op]} {number} {unit}".rstrip()

    def holds(self, actual: Any) -> Any:
        """Whether a value passes; for an array, which of its values do. NaN does not."""
        return _HOLDS[self.op](actual, self.value)

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _FIELDS)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a threshold is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a threshold is frozen: {name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Threshold) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Threshold({', '.join(map(repr, self._key()))})"

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Threshold], tuple[Any, ...]]:
        return Threshold, self._key()


_FIELDS = ("metric", "statistic", "op", "value", "text")


def parse_metric(text: str) -> MetricRef:
    """Reads `ttft_s.p95` or `decode_tok_per_s`.

    Raises:
        ValueError: no such metric or statistic; the message names the nearest, or what exists.
    """
    metric, dot, statistic = text.strip().partition(".")
    kind = METRICS.get(metric)
    if kind is None:
        raise ValueError(f"unknown metric {metric!r}{_nearest(metric, tuple(METRICS))}")
    if statistic in kind.statistics and bool(dot) == bool(statistic):
        return MetricRef(metric, statistic)
    if kind.statistics == ("",):
        raise ValueError(f"{metric} has one value per case: write it without .{statistic}")
    if not statistic and "" not in kind.statistics:
        raise ValueError(f"say which statistic of {metric}, e.g. {metric}.p95")
    listed = ", ".join(s for s in kind.statistics if s)
    plain = f", or {metric} alone for the whole case" if "" in kind.statistics else ""
    raise ValueError(f"{metric} has no statistic {statistic!r}: give one of {listed}{plain}")


def parse_compared(text: str) -> MetricRef:
    """Reads a metric that a comparison can rest on.

    Raises:
        ValueError: there is none of that name, or blocks cannot be compared by it.
    """
    ref = parse_metric(text)
    kind = METRICS[ref.metric]
    if not kind.compared:
        why = "every block has" if kind.better else "more or less of is better"
        raise ValueError(f"no comparison can rest on {ref.metric}: it is nothing that {why}")
    if ref.statistic not in kind.compared:
        listed = ", ".join(str(MetricRef(ref.metric, s)) for s in kind.compared)
        raise ValueError(f"no comparison can rest on {ref}: blocks are compared by {listed}")
    return ref


def metric_texts() -> tuple[str, ...]:
    """Everything that `parse_metric` takes, for completion and the JSON Schema."""
    return tuple(str(MetricRef(m.id, s)) for m in METRICS.values() for s in m.statistics)


def compared_texts() -> tuple[str, ...]:
    """Everything that `parse_compared` takes."""
    return tuple(str(MetricRef(m.id, s)) for m in METRICS.values() for s in m.compared)


def parse_threshold(text: str) -> Threshold:
    """Reads one threshold, e.g. `ttft_s.p95 <= 2`.

    Raises:
        ValueError: not a threshold, one in the wrong unit, or one that always or never holds; the
            message says what would be right.
    """
    left, op, right = _taken_apart(text)
    ref = parse_metric(left)
    threshold = Threshold(ref.metric, ref.statistic, op, _value(right, ref), text.strip())
    _refuse_foregone(threshold)
    return threshold


def stored_threshold(text: str) -> Threshold:
    """Reads a threshold of a file of ours, which an earlier version may have judged otherwise.

    Raises:
        ValueError: it is none by any version's rules.
    """
    try:
        return parse_threshold(text)
    except ValueError:
        left, op, right = _taken_apart(text)
        metric, _, statistic = left.partition(".")
        return Threshold(metric, statistic, op, _value_of_old(right), text.strip())


def to_file(value: object) -> str:
    """How a threshold stands in a file: an `enc_hook` of msgspec."""
    if isinstance(value, Threshold):
        return value.text
    raise NotImplementedError(f"{type(value).__name__} cannot be stored")


def from_file(kind: type[_T], value: Any) -> _T:
    """A threshold from a file: a `dec_hook` of msgspec."""
    if kind is Threshold and isinstance(value, str):
        return stored_threshold(value)  # type: ignore[return-value]
    raise NotImplementedError(f"{kind.__name__} cannot be read")


def quantile_of(statistic: str) -> float | None:
    """0.95 for "p95"; None for what is no percentile."""
    digits = statistic[1:]
    return float(f"0.{digits:0>2}") if statistic[:1] == "p" and digits.isdigit() else None


def _taken_apart(text: str) -> tuple[str, Operator, str]:
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ValueError("must be METRIC OPERATOR VALUE, e.g. ttft_s.p95 <= 2")
    left, sign, right = match.groups()
    if sign not in _OPERATORS:
        raise ValueError(f"{sign} cannot be used: give one of {', '.join(_OPERATORS)}")
    return left, cast(Operator, sign), right


def _value(text: str, ref: MetricRef) -> float:
    """The number in the metric's unit."""
    kind = METRICS[ref.metric]
    if kind.unit == "s" and (seconds := _seconds(text)) is not None:
        return seconds
    match = _NUMBER.fullmatch(text)
    if match is None or not math.isfinite(number := float(match.group(1))):
        raise ValueError(f"{text!r} is not a number")
    unit = match.group(2)
    if unit == "%" and kind.kind == "share":
        return number / 100
    if unit and unit != kind.unit:
        raise ValueError(_wrong_unit(text, unit, kind, number))
    return number


def _seconds(text: str) -> float | None:
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * duration_s(text.removeprefix("-"))
    except ValueError:
        return None


def _wrong_unit(text: str, unit: str, kind: MetricKind, number: float) -> str:
    if unit == "%":
        what = f"{text} is a share"
    elif (seconds := _seconds(text)) is not None:
        what = f"{text} is a time of {seconds:g} s"
    else:
        what = f"{unit!r} is no unit of it"
    if kind.kind == "time":
        right = f"is a time: write seconds or a duration, e.g. {number:g}s or 800ms"
    elif kind.kind == "share":
        right = "is a share: write e.g. 1% or 0.01"
    else:
        right = f"is counted in {kind.unit}: write {number:g}"
    return f"{what}; {kind.id} {right}"


def _refuse_foregone(threshold: Threshold) -> None:
    """Refuses what holds whatever is measured, or never."""
    kind, value, op = threshold.kind, threshold.value, threshold.op
    least = -math.inf if kind.signed else 0.0
    most = 1.0 if kind.kind == "share" else math.inf
    if kind.kind == "share" and value > 1:
        raise ValueError(
            f"{value:g} is {value * 100:g} %; {kind.id} is a share between 0 and 1: "
            f"write e.g. {min(value, 99):g}%"
        )
    bounds = f"{kind.id} lies between 0 and 1" if most == 1 else f"{kind.id} is never below 0"
    always = {"<=": value >= most, ">=": value <= least, "<": value > most, ">": value < least}[op]
    never = {"<=": value < least, ">=": value > most, "<": value <= least, ">": value >= most}[op]
    if always:
        raise ValueError(f"it would hold whatever is measured: {bounds}")
    if never:
        raise ValueError(f"it can never hold: {bounds}")


def _value_of_old(text: str) -> float:
    """The number as versions before this list of metrics read it: by its own unit alone."""
    if text.endswith("%"):
        return float(text[:-1]) / 100
    seconds = _seconds(text)
    return float(text) if seconds is None else seconds


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f": give one of {', '.join(names)}"
