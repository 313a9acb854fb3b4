"""A comparison in words: verdicts, changes, differences, in the order in which they matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.analysis.comparison.result import CaseComparison, Comparison, MetricComparison
from bench.analysis.comparison.setup_difference import Role, SetupDifference
from bench.analysis.comparison.verdict_rule import ALPHA, Verdict
from bench.metrics import term
from bench.report.page import Answer, Sentence, Tone
from bench.report.units import NO_VALUE, Shown, number, percent, plural, scale_for, show_value

TONES: Final[dict[Verdict, Tone]] = {
    **dict.fromkeys((Verdict.WORSE, Verdict.NO_SAMPLES), "bad"),
    **dict.fromkeys((Verdict.BETTER, Verdict.NO_CHANGE), "good"),
    **dict.fromkeys((Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE), "caution"),
}
_WIDE: Final = 10.0
"""Percent: an interval wider than twice this is shown without decimals."""
_ROLE_WORDS: Final = {
    Role.COMPARED: "Compared",
    Role.ALLOWED: "Also differs (allowed)",
    Role.EXPLAINS: "May explain a change",
    Role.WITHHOLDS: "Not judged",
    Role.BLOCKS: "Not comparable",
}
_KEY_WORDS: Final = {
    "model": "model",
    "digest": "model digest",
    "quantization": "quantisation",
    "server_version": "server version",
    "served_context": "context length served",
    "gpu_share": "share on the GPU",
    "slots_observed": "slots",
    "output_tokens": "tokens per answer",
    "failed_requests": "failed requests",
    "gpu_driver": "GPU driver",
    "cpu_governor": "CPU governor",
    "operating_system": "operating system",
    "era": "version boundary",
    "seed": "seed of the prompts",
    "cached_share": "share read from the cache",
    "eligible_cached_share": "share of the history read from the cache",
}


def metric_name(metric: str) -> str:
    """A flat metric id in words: "Time to first text, p50"."""
    name, _, statistic = metric.partition(".")
    return f"{term(name).label}, {statistic}" if statistic else term(name).label


def verdict_text(m: MetricComparison) -> str:
    """The verdict of one metric, with what qualifies it."""
    text = m.verdict.value
    if m.indicative:
        text += " (indicative)"
    if m.verdict is Verdict.INCONCLUSIVE and m.pairs_needed:
        text += f", {m.pairs_needed} pairs would tell"
    return text


def change_shown(m: MetricComparison) -> Shown:
    """The change with its 95 % interval, in percent, signed: "−9.8 % (−10.4 to −9.2)"."""
    if m.change is None or m.low is None or m.high is None:
        return Shown(NO_VALUE)
    half = (m.high - m.low) * 100 / 2
    decimals = 2 if half < 0.1 else 1 if half < _WIDE else 0
    said, low, high = (_signed(v * 100, decimals) for v in (m.change, m.low, m.high))
    return Shown(said, f"{low} to {high}", "%", m.change, 100.0)


def _signed(value: float, decimals: int) -> str:
    text = number(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def levels_text(m: MetricComparison) -> str:
    """From which level to which: "50.1 → 45.2 tok/s"."""
    scale = scale_for(m.unit, m.baseline, m.candidate)
    first, second = (show_value(v, m.unit, scale) for v in (m.baseline, m.candidate))
    unit = f" {scale.unit}" if scale.unit else ""
    return f"{first.text} \u2192 {second.text}{unit}"


def verdict_answers(comparison: Comparison) -> list[Answer]:
    """The verdict, then every case; of one case they are the same, so it is shown once."""
    cases = comparison.cases
    if len(cases) == 1 and comparison.refused is None and any(m.primary for m in cases[0].metrics):
        return [overall(comparison, in_full=True)]
    return [overall(comparison), *map(case_answer, cases)]


def overall(comparison: Comparison, *, in_full: bool = False) -> Answer:
    """The verdict in one sentence; `in_full` with all that is known of the metrics that decide."""
    primary = [(c, m) for c, m in comparison.judged() if m.primary]
    more: list[Sentence] = []
    if comparison.refused is not None:
        first: Sentence = (f"not comparable: {flat(comparison.refused.message)}",)
        more += [(flat(comparison.refused.advice),)] if comparison.refused.advice else []
    else:
        first = _verdict_sentence(comparison, primary, in_full)
        if in_full:
            more += [_metric_sentence(m) for c, m in primary if not _decides(comparison, m)]
        more += _measured_causes(primary)
    if comparison.indicative and comparison.verdict is not Verdict.NOT_COMPARABLE:
        more.append(("This is an indication, not a verdict: see the warnings.",))
    for said, which in (
        ("failed", comparison.failed_thresholds),
        ("that need more data", comparison.unsupported_thresholds),
    ):
        if which:
            listed = "; ".join(f"{t.expression} ({t.message})" for t in which)
            more.append((f"Thresholds {said}: {listed}.",))
    tone: Tone = "bad" if comparison.failed_thresholds else TONES[comparison.verdict]
    return Answer("", (("Verdict: ", *first), *more), tone=tone)


def flat(text: str) -> str:
    """A message of several lines in one."""
    return " ".join(text.split())


def _decides(comparison: Comparison, m: MetricComparison) -> bool:
    return (m.verdict, m.indicative) == (comparison.verdict, comparison.indicative)


def _verdict_sentence(
    comparison: Comparison,
    primary: Sequence[tuple[CaseComparison, MetricComparison]],
    in_full: bool,
) -> Sentence:
    verdict = comparison.verdict
    same = [(c, m) for c, m in primary if _decides(comparison, m)]
    if verdict is Verdict.NO_CHANGE and not in_full:
        bounds = dict.fromkeys(_bounds(m) for _, m in same)
        return (f"no change: {'; '.join(bounds)}.",)
    if not same:
        return (f"{verdict.value}: there is no metric to judge.",)
    parts: list[str | Shown] = []
    for case, m in same:
        where = f" ({case.case})" if len(comparison.cases) > 1 else ""
        name = f"{_bounds(m)}:" if verdict is Verdict.NO_CHANGE else metric_name(m.metric)
        basis = [f", {_basis(m)}"] if in_full and m.change is not None else []
        parts += ["; " if parts else "", f"{name} ", *_how(m), *basis, where]
    return (f"{verdict.value}: ", *parts, ".")


def _bounds(m: MetricComparison) -> str:
    return f"{metric_name(m.metric)} within ±{percent(m.catch)}"


def _measured_causes(primary: Sequence[tuple[CaseComparison, MetricComparison]]) -> list[Sentence]:
    """What was measured on both sides and explains the verdict of a metric that decides."""
    causes = dict.fromkeys(
        d.message
        for case, m in primary
        for d in case.differences
        if d.verdict is m.verdict and d.explains(m.metric, m.verdict)
    )
    return [(f"Why: {message}",) for message in causes]


def _how(m: MetricComparison) -> Sentence:
    if m.verdict in (Verdict.NO_SAMPLES, Verdict.NOT_COMPARABLE) or m.change is None:
        return (f"({m.note.rstrip('.')})",)
    needed = f", {m.pairs_needed} pairs would tell" if m.pairs_needed else ""
    return (change_shown(m), needed)


def difference_answers(comparison: Comparison) -> list[Answer]:
    """What differs besides the numbers; shown before any number."""
    if comparison.refused is not None:
        return []
    cases: dict[SetupDifference, list[str]] = {}
    for case in comparison.cases:
        for difference in case.differences:
            cases.setdefault(difference, []).append(case.case)
    answers, n = [], len(comparison.cases)
    for role in (Role.COMPARED, Role.WITHHOLDS, Role.ALLOWED, Role.EXPLAINS):
        texts = [_difference_text(d, c, n) for d, c in cases.items() if d.role is role]
        if texts:
            tone: Tone = "neutral" if role is Role.COMPARED else "caution"
            answers.append(Answer("", ((f"{_ROLE_WORDS[role]}: {'; '.join(texts)}.",),), tone=tone))
    nothing = "Compared: nothing that is recorded differs besides the time."
    return answers or [Answer("", ((nothing,),))]


def _difference_text(d: SetupDifference, cases: Sequence[str], of: int) -> str:
    values = f" {d.baseline} \u2192 {d.candidate}" if d.baseline or d.candidate else ""
    where = "" if len(cases) == of else f" (in {', '.join(cases)})"
    said = d.role is Role.COMPARED or d.verdict is not None
    meaning = f": {d.message.rstrip('.')}" if d.message and not said else ""
    return f"{key_name(d.key)}{values}{where}{meaning}"


def key_name(key: str) -> str:
    """The key of a difference in words."""
    return _KEY_WORDS.get(key, key.removeprefix("settings."))


def case_answer(case: CaseComparison) -> Answer:
    """What is said of one case: its metrics that gate."""
    primary = [m for m in case.metrics if m.primary]
    sentences = [_metric_sentence(m) for m in primary] or [("no metric to compare.",)]
    tones = [TONES[m.verdict] for m in primary]
    order: tuple[Tone, ...] = ("bad", "caution", "good")
    tone: Tone = next((t for t in order if t in tones), "neutral")
    first: Sentence = (f"{case.case}. ", *sentences[0])
    return Answer("", (first, *sentences[1:]), tone=tone)


def _metric_sentence(m: MetricComparison) -> Sentence:
    name = metric_name(m.metric)
    if m.change is None:
        return (f"{name}: {m.verdict.value} ({m.note.rstrip('.')}).",)
    return (f"{name}: {verdict_text(m)}, ", change_shown(m), f"; {_basis(m)}.")


def _basis(m: MetricComparison) -> str:
    """What a change rests on: levels, chance, number of pairs or blocks, what explains it."""
    causes = ", ".join(map(key_name, m.explained_by))
    explained = f", explained by {causes}" if causes else ""
    check = f", sign flip {_p(m.sign_flip_p)}" if m.sign_flip_p is not None else ""
    rests = plural(m.n, "pair") if m.sign_flip_p is not None else f"{m.n} blocks a side"
    chance = _p(m.p_corrected)
    if m.p_value is not None and m.p_value <= ALPHA < (m.p_corrected or 0.0):
        # Its interval excludes 0, and yet it is no change.
        chance += f" for all metrics that gate together ({_p(m.p_value)} alone)"
    return f"{levels_text(m)}, {chance}{check}, {rests}{explained}"


def _p(value: float | None) -> str:
    """A p-value that no line break takes apart."""
    said = NO_VALUE
    if value is not None:
        said = "< .001" if value < 0.001 else f"= {value:.3f}".replace("0.", ".", 1)
    return f"p {said}".replace(" ", "\u00a0")
