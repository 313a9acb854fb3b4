"""Which case of one run is compared with which of the other, or of the other side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.analysis.run.summary import CaseSummary
from bench.errors import NotComparable


@dataclass(frozen=True, slots=True)
class Match:
    """Two cases that are compared.

    Attributes:
        label: what they have in common, readable.
    """

    label: str
    baseline: CaseSummary
    candidate: CaseSummary

    @property
    def sides(self) -> tuple[CaseSummary, CaseSummary]:
        """Both, the baseline first."""
        return self.baseline, self.candidate


def match_cases(
    baseline: Iterable[CaseSummary], candidate: Iterable[CaseSummary]
) -> tuple[list[Match], list[str], list[str]]:
    """Match the cases of two runs by their axes.

    An axis that is constant in each run tells no cases apart (the model, say, when it is the model
    that is compared), so it need not agree.

    Returns:
        The matches, and the ids of the cases on either side that have no counterpart.

    Raises:
        NotComparable: there is no match at all.
    """
    first, second = list(baseline), list(candidate)
    telling = _telling_axes(first, second)
    by_key = {_key(case.axes, telling): case for case in second}
    matches, only_first = [], []
    for case in first:
        other = by_key.pop(_key(case.axes, telling), None)
        if other is None:
            only_first.append(case.id)
        else:
            matches.append(Match(_label(case, other), case, other))
    if not matches:
        raise NotComparable(
            "the runs have no case in common:\n"
            f"  baseline:  {_listed([c.id for c in first])}\n"
            f"  candidate: {_listed([c.id for c in second])}",
            "Compare runs of the same scenario.",
        )
    return matches, only_first, [case.id for case in by_key.values()]


def match_sides(cases: Iterable[CaseSummary]) -> list[Match]:
    """Match the cases of a run in pairs: those whose blocks share their pairs.

    Raises:
        NotComparable: the run was not made in pairs.
    """
    at = {(block.side, block.pair): case for case in cases for block in case.blocks}
    matches: dict[tuple[str, str], Match] = {}
    for (side, pair), first in at.items():
        second = at.get(("b", pair))
        if side == "a" and pair is not None and second is not None:
            matches.setdefault((first.id, second.id), Match(_label(first, second), first, second))
    if not matches:
        raise NotComparable(
            "the run holds no complete pair of blocks",
            "Runs in pairs are made by `ollama-bench ab`; to compare two runs, name both.",
        )
    return list(matches.values())


def _telling_axes(first: list[CaseSummary], second: list[CaseSummary]) -> list[str]:
    """Axes by which cases must agree: all but those that are constant on both sides and differ."""
    names = dict.fromkeys(name for case in (*first, *second) for name in case.axes)
    telling = []
    for name in names:
        values = [{case.axes.get(name) for case in cases} for cases in (first, second)]
        constant = len(values[0]) == len(values[1]) == 1
        if not constant or values[0] == values[1]:
            telling.append(name)
    return telling


def _key(axes: Mapping[str, str], telling: Iterable[str]) -> tuple[str | None, ...]:
    return tuple(axes.get(name) for name in telling)


def _label(first: CaseSummary, second: CaseSummary) -> str:
    ids = [without_side(first.id), without_side(second.id)]
    if ids[0] == ids[1]:
        return ids[0]
    axes = first.axes.items() & second.axes.items()
    shared = [f"{k}={v}" for k, v in first.axes.items()
              if (k, v) in axes and k not in ("side", "target")]  # fmt: skip
    return ", ".join(shared) or f"{ids[0]} against {ids[1]}"


def without_side(case_id: str) -> str:
    """The id of a case without the side that a run in pairs gives it."""
    return case_id.removeprefix("a: ").removeprefix("b: ")


def _listed(ids: list[str]) -> str:
    shown = "; ".join(ids[:5])
    return f"{shown}; and {len(ids) - 5} more" if len(ids) > 5 else shown or "none"
