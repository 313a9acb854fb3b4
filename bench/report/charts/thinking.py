"""Models that think first: how long they think, how long they answer, and how often they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.analysis.run.columns import numbered, seconds
from bench.analysis.run.summary import Estimate
from bench.report.charts.palette import SERIES, SOFT
from bench.report.charts.parts import Canvas, boxes, case_tag, only_first, part_tag
from bench.report.charts.rows import MOST_ROWS, bar_intervals, chart_height, lay_out, row_axes
from bench.report.model import CaseView
from bench.report.page import Chart
from bench.report.result_tables import case_table
from bench.report.samples import CaseSample, Samples
from bench.report.tables import Table, estimate_column, text_column
from bench.report.units import plural, scale_for, show
from bench.stats.means import ratio_of_sums, share

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
        message=_message(have),
        caption=(
            "Mean time that a request spends on thinking and on its answer, as its text arrives, "
            "with 95 % intervals. Beside the bars: the share of requests that ended without a "
            f"word of an answer. n = {plural(n, 'request')}."
            + only_first(len(drawn), len(have), "case")
        ),
        table=_table(have),
        draw=lambda on: _draw(on, drawn),
        sample=f"n = {plural(n, 'request')}",
        height=chart_height([t.case for t in drawn], 22),
        simulated=samples.report.simulated,
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


def _message(have: Sequence[Thought]) -> str:
    most = max(have, key=lambda t: t.thinking.value or 0.0)
    which = f"{most.case.label}: " if len(have) > 1 else ""
    thinking, answer = (show(e, "s").full for e in (most.thinking, most.answer))
    text = f"{which}{thinking} of thinking and {answer} of answer in a request, on average."
    silent = max(have, key=lambda t: t.silent.value or 0.0)
    if not silent.silent.value:
        return f"{text} Every request brought an answer."
    where = f" ({silent.case.label})" if len(have) > 1 else ""
    return f"{text} {show(silent.silent, 'share').full} brought none{where}."


def _table(have: Sequence[Thought]) -> Table:
    columns = [
        text_column("Requests", [t.n for t in have]),
        estimate_column("Thinking", "s", [t.thinking for t in have]),
        estimate_column("Answer", "s", [t.answer for t in have]),
        estimate_column("Without an answer", "share", [t.silent for t in have]),
    ]
    caption = "Thinking and answer, mean time of a request"
    return case_table("thinking-table", caption, [t.case for t in have], columns)


def _draw(on: Canvas, drawn: Sequence[Thought]) -> None:
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
