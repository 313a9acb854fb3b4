"""The sentences of a fidelity report: rules over its numbers, never a grade."""

from __future__ import annotations

from collections.abc import Mapping

from bench.analysis.fidelity.analyse import NOT_ASKED
from bench.analysis.fidelity.pareto import Dominated
from bench.analysis.fidelity.result import Difference, Distance, Fidelity, FidelityResult, Nearer
from bench.analysis.run.summary import Estimate
from bench.report.page import Answer, Notice, Sentence, Tone
from bench.report.units import plural, show, show_value
from bench.results.fidelity_files import REFERENCE

NATS = "nats"
OTHER_WORD = "share"


def candidate_answer(result: FidelityResult, found: Fidelity) -> Answer:
    """What is said of one candidate."""
    name, reference = result.sides[found.side].label, result.sides[0].label
    divergence = show(found.divergence, NATS)
    if found.distance is Distance.NONE:
        first: Sentence = (
            f"cannot be distinguished from {reference}: divergence ",
            divergence,
            ", which is no more than ",
            *reference_itself(result),
            ".",
        )
    else:
        first = (
            f"against {reference}: at ",
            show(found.other_top, OTHER_WORD),
            " of places its likeliest next word differs; divergence ",
            divergence,
            ", at least ",
            show_value(found.bound, NATS),
            " whatever lies beyond the 20 likeliest.",
        )
    more: list[Sentence] = []
    if found.large:
        more.append(("A large difference; the estimate runs about a tenth low.",))
    if missing := found.dropped.get(NOT_ASKED):
        places = plural(found.asked, "place")
        more.append((f"Not finished: {missing} of {places} are not asked yet.",))
    if found.divergence.low is None:
        more.append((f"There is no interval: it {found.divergence.needed}.",))
    return Answer(name, (first, *more), model=result.sides[found.side].model)


def reference_itself(result: FidelityResult) -> Sentence:
    """The noise floor as part of a sentence."""
    if result.floor is None:
        return ("equal lists give",)
    floor = show(result.floor.estimate, NATS)
    return ("the reference differs from itself in another order (", floor, "), three times over")


def floor_sentence(result: FidelityResult) -> Sentence:
    """What the noise floor is."""
    floor = result.floor
    if floor is None:
        return ("The noise floor is not known: no place of the reference could be asked twice.",)
    needed = floor.estimate.needed
    return (
        f"Noise floor: asked again in another order, {result.sides[0].label} differs from itself "
        "by ",
        show(floor.estimate, NATS),
        ", with another likeliest word at ",
        show(floor.other_word, OTHER_WORD),
        f" of {plural(floor.places, 'place')}{f' (an interval {needed})' if needed else ''}.",
    )


def difference_answer(result: FidelityResult, found: Difference) -> Answer:
    """What is said of two candidates."""
    first, second = result.sides[found.first].label, result.sides[found.second].label
    size = show(_absolute(found.difference), NATS)
    if found.verdict in (Nearer.FIRST, Nearer.SECOND):
        near, far = (first, second) if found.verdict is Nearer.FIRST else (second, first)
        said: Sentence = (f"is closer to the original than {far}, by ", size, ", paired by text.")
        return Answer(near, (said,))
    said = (f"and {second}: {verdict_text(found)} (", size, " apart, paired by text).")
    return Answer(first, (said,))


def gate_answers(result: FidelityResult) -> tuple[Answer, ...]:
    """Which models are broken, as far as that can be seen; one sentence if none is."""
    if not result.gates:
        return ()
    failed = [g for g in result.gates if not g.passed]
    if not failed:
        n = len({g.side for g in result.gates})
        return (Answer("", ((f'Every gate of "Does it work at all?" is passed by all {n}.',),)),)
    weak = {g.gate for g in failed if g.side == REFERENCE}
    answers = []
    for g in failed:
        side, often = result.sides[g.side], f" in {g.failed} of {g.answers} answers"
        asked = f"asked \u201c{g.asked}\u201d, came \u201c{g.came}\u201d."
        said: list[Sentence] = [(f'fails "{g.gate}"{often if g.answers > 1 else ""}: {asked}',)]
        if g.side != REFERENCE and g.gate in weak:
            said.append(("The reference fails it, too: this says nothing of the candidate.",))
        tone: Tone = "neutral" if g.gate in weak else "bad"
        answers.append(Answer(side.label, tuple(said), side.model, tone=tone))
    return tuple(answers)


def dominated_sentence(
    result: FidelityResult, found: Dominated, speeds: Mapping[int, Estimate]
) -> Sentence:
    """Who beats a model in speed and fidelity."""
    side, by = result.sides[found.side].label, result.sides[found.by].label
    reference = found.side == REFERENCE
    as_close = "cannot be distinguished from it" if reference else "no further from the original"
    closer = as_close if found.alike else "closer to the original"
    return (
        f"{side} is dominated: {by} is faster (",
        show(speeds[found.by], "tok/s"),
        " against ",
        show(speeds[found.side], "tok/s"),
        f") and {closer}.",
    )


def verdict_text(found: Difference) -> str:
    """A verdict on two candidates in words."""
    if found.verdict is Nearer.OPEN and found.more_texts:
        return f"inconclusive, {plural(found.more_texts, 'more text')} would tell"
    either = found.verdict in (Nearer.FIRST, Nearer.SECOND)
    return "closer to the original" if either else str(found.verdict.value)


def _absolute(estimate: Estimate) -> Estimate:
    """A difference without its sign, where that is said in words."""
    if estimate.value is None or estimate.value >= 0:
        return estimate
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return Estimate(-estimate.value, low, high, method=estimate.method)


def cautions(result: FidelityResult) -> tuple[Notice, ...]:
    """What the numbers do not tell."""
    reference = result.sides[0]
    kind = f" ({reference.quantization})" if reference.quantization else ""
    notices = [
        Notice(
            "fidelity_not_quality",
            "Divergence tells how much a candidate differs from the reference, not which way: it "
            "is no measure of quality, and near the original it hardly goes with test scores",
            "Try what matters to you on the candidates that are left.",
        ),
        Notice(
            "as_served",
            f"The reference is {reference.label}{kind}, as this server computes it: another "
            "machine, version or reference gives other numbers, and other texts do, too",
            "Compare results of the same server and the same texts (identity "
            f"{result.identity}); name your own with --texts.",
        ),
        Notice("short_texts", "The texts are short: long contexts are not covered"),
        Notice(
            "rare_texts",
            f"Of {plural(result.texts, 'text')}, a kind that is rarer than one in "
            f"{max(result.texts // 3, 2)} may be missing: the intervals do not cover it, however "
            "far it moves",
            "Give more texts, and such as you work with, with --texts.",
        ),
    ]
    for found in result.candidates:
        if found.dropped:
            reasons = ", ".join(f"{why}: {n}" for why, n in found.dropped.items())
            n = f"{found.asked - found.used} of {plural(found.asked, 'place')}"
            said = f"{n} were left out on both sides ({reasons})"
            where = (result.sides[found.side].label,)
            notices.append(Notice("places_dropped", said, where=where))
    return tuple(notices)
