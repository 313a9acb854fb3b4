"""Fidelity as a part of the page about a run: beside the speeds of the same models."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.fidelity.result import FidelityResult
from bench.report.fidelity.page import Parts, Placed, fidelity_parts
from bench.report.model import Report
from bench.report.page import Answer, Prose
from bench.results.fidelity_files import Side
from bench.results.run import RunInfo

_SPEED = "decode_tok_per_s"


def fidelity_in_run(
    report: Report, found: Sequence[FidelityResult | str | None]
) -> tuple[Parts, ...]:
    """What each run has to say about fidelity, or why nothing was found."""
    parts = []
    identities = dict.fromkeys(r.identity for r in found if isinstance(r, FidelityResult))
    if len(identities) > 1:
        said = Answer(
            "",
            (
                (
                    "The fidelity of these runs does not compare: they read other texts or "
                    f"places (identities {', '.join(identities)}).",
                ),
            ),
            tone="caution",
        )
        parts.append(Parts((said,), tuple, (), (), Prose("")))
    for run, result in enumerate(found):
        if isinstance(result, str):
            said = Answer("", ((f"Fidelity is not known: {result}.",),))
            parts.append(Parts((said,), tuple, (), (), Prose("")))
        elif result is not None:
            placed = {i: _placed(report, run, s) for i, s in enumerate(result.sides)}
            parts.append(fidelity_parts(result, placed))
    return tuple(parts)


def _placed(report: Report, run: int, side: Side) -> Placed:
    info = report.runs[run].run.info
    servers = {t.name for t in info.targets if t.url == side.url}
    cases = [
        c
        for c in report.cases
        if c.run == run and c.model == side.model and c.summary.target in servers and not c.invalid
    ]
    series = report.models.index(side.model) if side.model in report.models else 0
    if not cases:
        return Placed(series)
    case = min(cases, key=lambda c: c.users or c.rate_per_s or 0)  # at the lowest load
    return Placed(series, case.estimate(_SPEED), _vram_bytes(info, case.summary.id))


def _vram_bytes(info: RunInfo, case_id: str) -> int | None:
    """The most that the model took on the GPU in any block of a case."""
    seen = [b.after.vram_bytes for b in info.blocks if b.case == case_id and b.after]
    return max((v for v in seen if v), default=None)
