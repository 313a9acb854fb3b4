"""Where the time of requests goes: their parts, stacked; of models that think, also thinking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.analysis.run.columns import numbered, seconds
from bench.analysis.run.summary import Estimate
from bench.report.charts.axes import (
    Limit,
    asked,
    legend_room,
    limit_legend,
    limit_lines,
    with_limits,
)
from bench.report.charts.bars import MOST_ROWS, bar_intervals, chart_height, lay_out, row_axes
from bench.report.charts.palette import PHASE_HATCHES, PHASES, SERIES, SOFT
from bench.report.charts.parts import Canvas, boxes, case_tag, only_first, part_tag
from bench.report.model import CaseView
from bench.report.page import Chart
from bench.report.result_tables import case_table
from bench.report.samples import CaseSample, Samples
from bench.report.tables import Table, estimate_column, from_columns, number_column, text_column
from bench.report.units import percent, plural, scale_for, show, show_value
from bench.stats.means import ratio_of_sums, share

PARTS: Final = {
    "queue": "queue_s",
    "load": "load_s",
    "prefill": "prompt_eval_s",
    "decode": "eval_s",
    "overhead": "overhead_s",
}
"""Part of a request -> metric; together they are the time to the complete answer (from sent)."""


def split_chart(samples: Samples) -> Chart | None:
    """The chart, None where no request has all its server durations."""
    have = [(s, m) for s in samples.cases if (m := mean_parts(s)) is not None]
    if not have:
        return None
    drawn = have[:MOST_ROWS]
    # A bar is a mean: it can be held against what was asked of the mean alone.
    wholes = [np.array([0.0, *(sum(m.values()) for _, (m, _) in drawn)])]
    limits = asked(samples.report, "e2e_s", wholes, ("mean",))
    n = sum(count for _, (_, count) in have)

    return Chart(
        id="split",
        title="Where the time goes",
        message=_message(have),
        caption=(
            "Mean time of each part of a request; means add up, percentiles do not. Queue, load, "
            "prefill and decode are the server's own durations, overhead is what the client waited "
            f"beyond them; of a request that was alone, also what the server names no part for. "
            f"n = {plural(n, 'request')}." + only_first(len(drawn), len(have), "case")
        ),
        table=_table(have),
        draw=lambda on: _draw(on, drawn, limits),
        sample=f"n = {plural(n, 'request')}",
        height=chart_height([s.case for s, _ in drawn], 22 + legend_room(len(limits))),
    )


Means = tuple[dict[str, float], int]
"""Part -> mean seconds, and the number of requests."""


def mean_parts(sample: CaseSample) -> Means | None:
    """Mean seconds of each part over the requests that have all of them; None if none has."""
    times = np.vstack([sample.times[m] for m in PARTS.values()])
    # What a lone request spent in no part is no queue: it is time beyond the parts, too.
    times[-1] += np.nan_to_num(sample.times["unaccounted_s"])
    complete = np.isfinite(times).all(axis=0)
    if not complete.any():
        return None
    means = np.maximum(times[:, complete].mean(axis=1), 0.0)
    return dict(zip(PARTS, means.tolist(), strict=True)), int(complete.sum())


def _message(have: Sequence[tuple[CaseSample, Means]]) -> str:
    sample, (parts, _) = max(have, key=lambda pair: sum(pair[1][0].values()))
    total = sum(parts.values())
    part = max(parts, key=lambda p: parts[p])
    mean = sample.case.estimate("e2e_s", "mean")
    longest = show(mean, "s").full if mean and mean.value else show_value(total, "s").number
    if len(have) == 1:
        return f"A request takes {longest} on average; {percent(parts[part] / total)} is {part}."
    return (
        f"Requests take longest with {sample.case.label}: {longest} on average, "
        f"{percent(parts[part] / total)} of it {part}."
    )


def _table(have: Sequence[tuple[CaseSample, Means]]) -> Table:
    columns = [
        text_column("Case", [s.case.label for s, _ in have]),
        text_column("Requests", [count for _, (_, count) in have]),
    ]
    columns += [
        number_column(f"{p}, mean".capitalize(), "s", [m[p] for _, (m, _) in have]) for p in PARTS
    ]
    columns.append(number_column("Sum", "s", [sum(m.values()) for _, (m, _) in have]))
    models = [s.case.model for s, _ in have]
    return from_columns("split-table", "Mean time of each part", columns, models=models)


def _draw(on: Canvas, drawn: Sequence[tuple[CaseSample, Means]], limits: Sequence[Limit]) -> None:
    rows = lay_out([s.case for s, _ in drawn], on.narrow)
    shown = [p for p in PARTS if any(m[p] > 0 for _, (m, _) in drawn)]
    on.bar_legend([(p, PHASES[p], PHASE_HATCHES[p]) for p in shown], 20)
    top = 44 + limit_legend(on, limits, 42)
    by_key = {s.case.key: m for s, (m, _) in drawn}
    scale = scale_for("s", *(sum(m.values()) for m in by_key.values()))
    sums = [show_value(sum(by_key[c.key].values()), "s", scale).number for c, _, _ in rows.places]
    ax = row_axes(on, rows, sums, top)
    for model in dict.fromkeys(c.model for c, _, _ in rows.places):
        own = [(c, y) for c, _, y in rows.places if c.model == model]
        starts = dict.fromkeys((c.key for c, _ in own), 0.0)
        for part in shown:
            gid = f"split-{own[0][0].key}-{part}"
            drawn_boxes = []
            for case, y in own:
                start = starts[case.key]
                starts[case.key] = stop = start + by_key[case.key][part] * scale.factor
                drawn_boxes.append((start, stop, y - rows.bar / 2, y + rows.bar / 2))
            boxes(ax, drawn_boxes, PHASES[part], PHASE_HATCHES[part], gid)
            tips = (_tip(c, by_key[c.key], part) for c, _ in own)
            tags = (f"{case_tag(c)} {part_tag(PHASES[part])}" for c, _ in own)
            on.say(gid, tips, model, tags)
    wholes = [np.array([sum(m.values()) for m in by_key.values()])]
    ax.set_xlim(0, max(x for v in with_limits(wholes, limits) for x in v) * scale.factor * 1.02)
    limit_lines(ax, limits, scale.factor, upright=True)
    ax.set_xlabel(f"mean time of a request ({scale.unit})")


def _tip(case: CaseView, parts: dict[str, float], part: str) -> str:
    share = percent(parts[part] / sum(parts.values()))
    return f"{case.label}\n{part}: {show_value(parts[part], 's').number} ({share})"


_LOOKS: Final = {"thinking": (SOFT, "//"), "answer": (SERIES[0], "")}


@dataclass(frozen=True, slots=True)
class Thought:
    """What requests of a case did, on average.

    Attributes:
        thinking: seconds from the first piece of thinking to the answer, or to the end without one.
        answer: seconds from the first piece of the answer to the last; 0 of requests without one.
        silent: share of requests without an answer.
        n: requests with text.
    """

    case: CaseView
    thinking: Estimate
    answer: Estimate
    silent: Estimate
    n: int


def thinking_chart(samples: Samples) -> Chart | None:
    """The chart, None where no streamed request thought."""
    have = [t for s in samples.cases if (t := thought_of(s)) is not None]
    if not have:
        return None
    drawn = have[:MOST_ROWS]
    n = sum(t.n for t in have)
    return Chart(
        id="thinking",
        title="Thinking and answer",
        message=_thinking_message(have),
        caption=(
            "Mean time that a request spends on thinking and on its answer, as its text arrives, "
            "with 95 % intervals. Beside the bars: the share of requests that ended without a "
            f"word of an answer. n = {plural(n, 'request')}."
            + only_first(len(drawn), len(have), "case")
        ),
        table=_thinking_table(have),
        draw=lambda on: _thinking_draw(on, drawn),
        sample=f"n = {plural(n, 'request')}",
        height=chart_height([t.case for t in drawn], 22),
    )


def thought_of(sample: CaseSample) -> Thought | None:
    """What the streamed requests of a case spent on thinking; None if none thought."""
    c = sample.columns
    with_text = c.stream & np.isfinite(c.first_text_ns) & np.isfinite(c.last_text_ns)
    own = c.select(with_text)
    if not np.isfinite(own.first_thinking_ns).any():
        return None
    answered = np.isfinite(own.first_answer_ns)
    thinks_until = np.where(answered, own.first_answer_ns, own.last_text_ns)
    thinking = np.nan_to_num(seconds(thinks_until - own.first_thinking_ns))
    answer = np.nan_to_num(seconds(own.last_text_ns - own.first_answer_ns))
    blocks, one = numbered(own.block), np.ones(len(own))
    return Thought(
        sample.case,
        ratio_of_sums(np.maximum(thinking, 0.0), one, blocks),
        ratio_of_sums(np.maximum(answer, 0.0), one, blocks),
        share((~answered).astype(float), one, blocks),
        len(own),
    )


def _thinking_message(have: Sequence[Thought]) -> str:
    most = max(have, key=lambda t: t.thinking.value or 0.0)
    which = f"{most.case.label}: " if len(have) > 1 else ""
    thinking, answer = (show(e, "s").full for e in (most.thinking, most.answer))
    text = f"{which}{thinking} of thinking and {answer} of answer in a request, on average."
    silent = max(have, key=lambda t: t.silent.value or 0.0)
    if not silent.silent.value:
        return f"{text} Every request brought an answer."
    where = f" ({silent.case.label})" if len(have) > 1 else ""
    return f"{text} {show(silent.silent, 'share').full} brought none{where}."


def _thinking_table(have: Sequence[Thought]) -> Table:
    columns = [
        text_column("Requests", [t.n for t in have]),
        estimate_column("Thinking", "s", [t.thinking for t in have]),
        estimate_column("Answer", "s", [t.answer for t in have]),
        estimate_column("Without an answer", "share", [t.silent for t in have]),
    ]
    caption = "Thinking and answer, mean time of a request"
    return case_table("thinking-table", caption, [t.case for t in have], columns)


def _thinking_draw(on: Canvas, drawn: Sequence[Thought]) -> None:
    rows = lay_out([t.case for t in drawn], on.narrow)
    by_key = {t.case.key: t for t in drawn}
    on.bar_legend([(name, *look) for name, look in _LOOKS.items()], 20)
    silent = [show(by_key[c.key].silent, "share").number for c, _, _ in rows.places]
    ax = row_axes(on, rows, [f"{said} no answer" for said in silent], top=44)
    scale = scale_for("s", *(e.value for t in drawn for e in (t.thinking, t.answer)))
    highest, half = 0.0, rows.bar / 2
    for name, lower in (("thinking", -half), ("answer", 0.0)):
        colour, hatch = _LOOKS[name]
        placed = [(c, y + lower, getattr(by_key[c.key], name)) for c, _, y in rows.places]
        gid, factor = f"thinking-{name}", scale.factor
        drawn_boxes = [(0.0, (e.value or 0.0) * factor, y, y + half) for _, y, e in placed]
        boxes(ax, drawn_boxes, colour, hatch, gid)
        tags = [f"{case_tag(c)} {part_tag(colour, name)}" for c, _, _ in placed]
        tips = (f"{c.label}\n{name}: {show(e, 's', scale).full}" for c, _, e in placed)
        on.say(gid, tips, tags=tags)
        middles, estimates = [y + half / 2 for _, y, _ in placed], [e for *_, e in placed]
        reach = bar_intervals(on, ax, middles, estimates, gid, tags, factor, thick=1.5)
        highest = max(highest, reach)
    ax.set_xlim(0, highest * 1.02 or 1.0)
    ax.set_xlabel(f"mean time of a request ({scale.unit})")
