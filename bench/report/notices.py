"""Warnings as a reader needs them: one line a code, the worst first, with how often it was seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.report.model import SEPARATOR, Report
from bench.report.page import Notice
from bench.report.units import plural
from bench.results.run import RunWarning
from bench.results.warning_codes import Severity, WarningCode

_BLOCK: Final = re.compile(r"^block \d+: ")
_NUMBER: Final = re.compile(r"(\d[\d,]*\.?\d*)\s?(µs|ms|s|min|%)?(?![\w.])")
_UNITS: Final = {"µs": 1e-6, "ms": 1e-3, "min": 60.0}
_SEVERITIES: Final = tuple(Severity)
_LESS_IS_WORSE: Final = frozenset({WarningCode.GPU_SPILL, WarningCode.FEWER_SLOTS})
_OF_CLIENT: Final = frozenset(
    (
        *(WarningCode.CLIENT_BENT, WarningCode.CLIENT_LAG, WarningCode.CLIENT_CPU),
        *(WarningCode.GC_PAUSE, WarningCode.MORE_WORKERS, WarningCode.LATE_SENDS),
        *(WarningCode.USERS_IDLED, WarningCode.COALESCED, WarningCode.USER_STAMPS),
    )
)
"""Of the client's own noise: folded, unless it invalidates."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One warning and where in the report it belongs."""

    run: int
    warning: RunWarning

    @property
    def message(self) -> str:
        return _BLOCK.sub("", self.warning.message)


def notices(report: Report) -> tuple[Notice, ...]:
    """All warnings of a report, a line each code: the most harmful first."""
    seen: dict[tuple[bool, WarningCode], list[_Seen]] = {}
    for index, view in enumerate(report.runs):
        for w in view.summary.warnings:
            seen.setdefault((w.invalidates, WarningCode(w.code)), []).append(_Seen(index, w))
    made = [(_harm(*key, found), _notice(report, *key, found)) for key, found in seen.items()]
    return tuple(notice for _, notice in sorted(made, key=lambda pair: pair[0]))


def _harm(invalidates: bool, code: WarningCode, found: Sequence[_Seen]) -> tuple[int, ...]:
    """A rank: lower is worse. Failures come before what else may be wrong."""
    return (
        not invalidates,
        _folded(invalidates, code),
        code not in (WarningCode.FAILED_REQUESTS, WarningCode.SURVIVORS),
        _SEVERITIES.index(code.severity),
        -len(found),
    )


def _folded(invalidates: bool, code: WarningCode) -> bool:
    return not invalidates and (code in _OF_CLIENT or code.severity is Severity.NOTE)


def _notice(report: Report, invalidates: bool, code: WarningCode, found: Sequence[_Seen]) -> Notice:
    worst = _worst(found, code)
    messages: dict[str, list[_Seen]] = {}
    for one in found:
        messages.setdefault(_sentence_case(one.message, report.models), []).append(one)
    said = _sentence_case(worst.message, report.models)
    more = tuple((m, _places(report, at)) for m, at in messages.items() if m != said)
    often = _how_often(found)
    named = len(messages) == 1 or often.endswith("of 1 case")
    where = _places(report, found) if named else (often,)
    every = ((said, _places(report, messages[said])), *more) if more else ()
    folded = _folded(invalidates, code)
    return Notice(code, said, worst.warning.advice, where, invalidates, every, folded)


def _worst(found: Sequence[_Seen], code: WarningCode) -> _Seen:
    """The message with the largest number where messages of one wording differ."""
    wording = _NUMBER.sub("#", found[0].message)
    alike = [(f, _numbers(f.message)) for f in found if _NUMBER.sub("#", f.message) == wording]
    columns = list(zip(*(n for _, n in alike), strict=True))
    differing = [i for i, values in enumerate(columns) if len(set(values)) > 1]
    if not differing:
        return found[0]
    sign = -1.0 if code in _LESS_IS_WORSE else 1.0
    return max(alike, key=lambda pair: sign * pair[1][differing[0]])[0]


def _numbers(text: str) -> list[float]:
    """Every number of a message, times in seconds."""
    found = _NUMBER.findall(text)
    return [float(number.replace(",", "")) * _UNITS.get(unit, 1.0) for number, unit in found]


def _how_often(found: Sequence[_Seen]) -> str:
    """In how many blocks and cases; the message is the worst of them."""
    blocks = len({(f.run, m[0]) for f in found if (m := _BLOCK.match(f.warning.message))})
    cases = len({(f.run, f.warning.case) for f in found if f.warning.case})
    places = [plural(blocks, "block")] if blocks else []
    places += [plural(cases, "case")] if cases > 1 or (cases and not blocks) else []
    at = " of ".join(places) or plural(len(found), "message")
    return f"the worst of {at}"


def _places(report: Report, found: Sequence[_Seen]) -> tuple[str, ...]:
    """Where a warning holds: runs, then cases by model, in the order of the report."""
    at = {(f.run, f.warning.case) for f in found}
    labels = dict.fromkeys(report.runs[i].label for i, case in sorted(at) if not case)
    cases = [c for c in report.cases if (c.run, c.summary.id) in at]
    if len(cases) == len(report.cases) > 1:
        return (f"all {plural(len(cases), 'case')}",)
    by_model = []
    for model in dict.fromkeys(c.model for c in cases):
        axes = [SEPARATOR.join(c.axes) for c in cases if c.model == model and c.axes]
        by_model.append(SEPARATOR.join((model, ", ".join(axes))) if axes else model)
    known = {(c.run, c.summary.id) for c in cases}
    unknown = [case for run, case in sorted(at) if case and (run, case) not in known]
    return (*(x for x in labels if x), *by_model, *unknown)


def _sentence_case(text: str, names: Sequence[str]) -> str:
    """A capital at the beginning, unless the first word is a name: a model's, a metric's."""
    word = text.partition(" ")[0].rstrip(",:;.")
    return text[:1].upper() + text[1:] if word.isalpha() and word not in names else text
