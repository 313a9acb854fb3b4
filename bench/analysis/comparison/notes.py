"""What a reader must know about how two sides were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.comparison.case_matching import Match
from bench.analysis.comparison.result import CaseComparison, Design, Note
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summary import Steadiness
from bench.errors import NotComparable
from bench.stats.paired import MIN_PAIRS
from bench.stats.sessions import MIN_SESSIONS

_WHOLLY_ON_GPU = 0.995
_STATES_SHOW = 10
"""Sessions from which on a rare state has mostly been seen
(tests/performance/session_error_rates.py)."""
_BY_THE_CLIENT = ("tpot_s.p50", "ttft_s.p50", "e2e_s.p50")
"""Metrics that no server's clock is in, those nearest to the speed of decoding first."""
_THROUGHPUT = ("output_tok_per_s", "request_per_s", "goodput_per_s")


def same_run_notes(baseline: str, candidate: str) -> list[Note]:
    """Whether a run was compared with itself, which finds no change whatever was measured."""
    if baseline != candidate:
        return []
    return [Note("same_run", "Both sides are the same run.", "Name another candidate.")]


def era_notes(cases: Sequence[CaseComparison]) -> list[Note]:
    """What helps where metrics that decide mean something else on either side."""
    withheld = [
        m for c in cases for m in c.metrics if m.primary and m.verdict is Verdict.NOT_COMPARABLE
    ]
    if not withheld:
        return []
    names = ", ".join(dict.fromkeys(m.metric for m in withheld))
    judged = [{m.metric for m in c.metrics if m.p_value is not None} for c in cases]
    client = next((m for m in _BY_THE_CLIENT if all(m in found for found in judged)), None)
    instead = f"Judge by the client's clock instead: --primary {client}. " if client else ""
    what = f"What decides cannot be judged: {names} means something else on either side."
    return [Note("era", what, f"{instead}To compare the numbers as they are: --allow era.")]


def session_notes(cases: Sequence[CaseComparison]) -> Iterator[Note]:
    """How much sessions differ: known from history, or not."""
    primary = [m for case in cases for m in case.metrics if m.primary and m.p_value is not None]
    fewest = min((m.sessions for m in primary), default=0)
    if fewest < MIN_SESSIONS:
        yield Note(
            "separate_runs",
            "The runs were made one after the other, so drift and differences between sessions "
            f"are in the change. To allow for that takes {MIN_SESSIONS} earlier sessions of the "
            f"same identity besides these two, and {fewest} can be found: the verdict is only "
            "indicative.",
            "For a verdict, measure both sides in turn with `ollama-bench ab`.",
        )
        return
    rare = (
        " A rare slow state that none of them showed would be called a change: of machines that "
        f"have one, up to 7 % are, with fewer than {_STATES_SHOW} sessions."
    )
    yield Note(
        "sessions",
        "The runs were made separately. How much sessions differ was taken from "
        f"{fewest} earlier runs of the same identity, besides these two, within stretches of "
        f"one level.{rare if fewest < _STATES_SHOW else ''}",
    )
    doubts = dict.fromkeys(f"{m.metric}: {m.note}" for m in primary if m.note and m.indicative)
    if doubts:
        yield Note(
            "unusual_session",
            f"Only indicative: {'; '.join(doubts)}.",
            "Measure again, or measure both sides in turn with `ollama-bench ab`.",
        )


def order_notes(matches: Sequence[Match], allowed: bool) -> Iterator[Note]:
    """Whether pairs were run back to back, in both orders.

    Raises:
        NotComparable: they were not run back to back.
    """
    apart = [m.label for m in matches if not _back_to_back(m)]
    if apart and not allowed:
        raise NotComparable(
            f"the blocks of a pair were not run back to back ({'; '.join(apart)}), so drift "
            "cannot be distinguished from a change",
            "Measure in pairs with `ollama-bench ab`, or look at it all the same with "
            "--allow order.",
        )
    if apart:
        yield Note(
            "order",
            "The blocks of a pair were not run back to back: drift is in the change, and the "
            "verdict is only indicative.",
        )
    if any(_one_order(m) for m in matches):
        yield Note(
            "one_order",
            "One side always went first, so what going first does is in the change: the "
            "verdict is only indicative.",
            "`ollama-bench ab` alternates the order.",
        )


def _back_to_back(match: Match) -> bool:
    where = {b.pair: b.index for b in match.baseline.blocks if b.side == "a"}
    return all(
        abs(b.index - where[b.pair]) == 1
        for b in match.candidate.blocks
        if b.side == "b" and b.pair in where
    )


def _one_order(match: Match) -> bool:
    positions = [b.position for b in match.candidate.blocks if b.side == "b"]
    return len(positions) >= MIN_PAIRS and len(set(positions)) == 1


def moved(steadiness: Steadiness, metric: str) -> bool:
    """Whether a metric did not stay the same while it was measured."""
    if steadiness.steady is not False:
        return False
    name = metric.partition(".")[0]
    # Users who wait for answers ask less often when answers take longer.
    follows = name in _THROUGHPUT and "e2e_s" in steadiness.metrics
    return not steadiness.metrics or name in steadiness.metrics or follows


def unsteady_notes(matches: Sequence[Match], design: Design) -> list[Note]:
    """Cases whose level moved while they were measured."""
    consequence = (
        "what is common to both sides of a pair cancels"
        if design is Design.PAIRED
        else "it looks like a change, so verdicts on what moved are only indicative"
    )
    return [
        Note(
            "unsteady", f"{side}, {m.label}: not steady ({case.steadiness.message}); {consequence}."
        )
        for m in matches
        for side, case in zip(("baseline", "candidate"), m.sides, strict=True)
        if case.steadiness.steady is False
    ]


def memory_notes(matches: Sequence[Match]) -> list[Note]:
    """Two sides in memory together may push each other off the GPU."""
    spilled = [
        m.label
        for m in matches
        if len({(case.target, case.model) for case in m.sides}) == 2
        and _partly_on_cpu(*(case.identity.gpu_share for case in m.sides))
    ]
    if not spilled:
        return []
    return [
        Note(
            "shared_memory",
            f"Part of a model ran on the CPU ({'; '.join(spilled)}). If the GPU had to hold both "
            "sides' models at once, that may be why.",
            "Measure again with --one-at-a-time.",
        )
    ]


def _partly_on_cpu(*gpu_shares: float | None) -> bool:
    """Whether a side was not wholly on the GPU, on a machine that has one."""
    known = [share for share in gpu_shares if share is not None]
    return any(share < _WHOLLY_ON_GPU for share in known) and any(known)
