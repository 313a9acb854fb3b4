"""Is it broken? Judges the answers to the questions of `bench.scenario.gates`: yes or no."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from bench.analysis.fidelity.result import GateResult
from bench.results.fidelity_files import GateRecord
from bench.scenario.gates import COPIED, NEEDLE, Gate

_GRAM, _TIMES = 8, 4
"""So many words in a row, so often in one answer, are a loop."""
_MARKER = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</?s>|<｜[^｜<>]{1,40}｜>"
)
"""Control tokens of chat templates, as text."""
_SHOWN = 160


def judge_gates(records: Sequence[GateRecord]) -> tuple[GateResult, ...]:
    """What each side passes and fails, in the order of `Gate`; what was not asked is left out."""
    found = []
    for side in sorted({r.side for r in records}):
        own = [r for r in records if r.side == side]
        for gate in Gate:
            marker = gate is Gate.MARKER
            asked = [r for r in own if (not r.error if marker else r.gate == gate)]
            if not asked:
                continue
            failed = [r for r in asked if r.error or not _PASSES[gate](r.answer)]
            shown = (failed or asked)[0]
            # One answer of several may repeat itself: a list, a refrain.
            passed = len(failed) <= (len(asked) // 4 if gate is Gate.LOOP else 0)
            found.append(
                GateResult(
                    side=side,
                    gate=gate.value,
                    passed=passed,
                    failed=len(failed),
                    answers=len(asked),
                    asked=shown.asked,
                    came=_excerpt(f"no answer: {shown.error}" if shown.error else shown.answer),
                )
            )
    return tuple(found)


def _holds_schema(text: str) -> bool:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    # A bool is an int of Python, and none of JSON.
    return (
        isinstance(said, dict)
        and isinstance(said.get("name"), str)
        and type(said.get("year")) is int
    )


def loops(text: str) -> bool:
    """Whether some eight words in a row come four times; without blanks, characters count."""
    words = text.split()
    units: Sequence[str] = words if len(words) > len(text) / 20 else text
    grams = Counter(tuple(units[i : i + _GRAM]) for i in range(len(units) - _GRAM + 1))
    return max(grams.values(), default=0) >= _TIMES


_PASSES: Final[dict[Gate, Callable[[str], bool]]] = {
    Gate.NEEDLE: lambda text: NEEDLE in text,
    Gate.COPY: lambda text: COPIED in text,
    Gate.JSON: _holds_schema,
    Gate.LOOP: lambda text: not loops(text),
    Gate.MARKER: lambda text: _MARKER.search(text) is None,
}


def _excerpt(text: str) -> str:
    """Beginning and end of an answer, in one line."""
    line = " ".join(text.split())
    half = _SHOWN // 2
    return line if len(line) <= _SHOWN else f"{line[:half]} … {line[-half:]}"
