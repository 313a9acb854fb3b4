"""Models that think first: how long they think, how long they answer, and how often they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.run.columns import numbered, seconds
from bench.analysis.run.summary import Estimate
from bench.report.charts.palette import INK, SERIES, SOFT
from bench.report.charts.parts import (
    bar_legend,
    boxes,
    case_tag,
    ends,
    only_first,
    part_tag,
    sample_note,
    text_width,
)
from bench.report.charts.rows import (
    MOST_ROWS,
    NUMBER_FONT,
    chart_height,
    lay_out,
    number_beside,
    row_axes,
)
from bench.report.model import CaseView
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import case_columns
from bench.report.samples import CaseSample, Samples
from bench.report.tables import Table, estimate_column, from_columns, text_column
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

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(n, 'request')}")
        return _draw(figure, size, drawn)

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
        draw=draw,
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
    return from_columns(
        "thinking-table",
        "Thinking and answer, mean time of a request",
        [
            *case_columns([t.case for t in have]),
            text_column("Requests", [t.n for t in have]),
            estimate_column("Thinking", "s", [t.thinking for t in have]),
            estimate_column("Answer", "s", [t.answer for t in have]),
            estimate_column("Without an answer", "share", [t.silent for t in have]),
        ],
        models=[t.case.model for t in have],
    )


def _draw(figure: Figure, size: Size, drawn: Sequence[Thought]) -> Marks:
    rows = lay_out([t.case for t in drawn], size.narrow)
    by_key = {t.case.key: t for t in drawn}
    bar_legend(figure, size, [(name, *look) for name, look in _LOOKS.items()], 20)
    beside = {k: f"{show(t.silent, 'share').number} no answer" for k, t in by_key.items()}
    right = 20 + max(text_width(t, NUMBER_FONT) for t in beside.values())
    ax = row_axes(figure, size, rows, right=right, top=44)
    scale = scale_for("s", *(e.value for t in drawn for e in (t.thinking, t.answer)))
    marks, highest = Marks(), 0.0
    half = rows.bar / 2
    for name, lower in (("thinking", -half), ("answer", 0.0)):
        colour, hatch = _LOOKS[name]
        placed = [(c, y + lower, getattr(by_key[c.key], name)) for c, _, y in rows.places]
        gid, values = f"thinking-{name}", [(e.value or 0.0) * scale.factor for _, _, e in placed]
        places = [(y, y + half) for _, y, _ in placed]
        boxes(
            ax,
            [(0.0, v, *place) for v, place in zip(values, places, strict=True)],
            colour,
            hatch,
            gid,
        )
        marks.tips[gid] = [f"{c.label}\n{name}: {show(e, 's', scale).full}" for c, _, e in placed]
        tags = [f"{case_tag(c)} {part_tag(colour, name)}" for c, _, _ in placed]
        marks.tags[gid] = tags
        below, above = ([x * scale.factor for x in side] for side in ends([e for *_, e in placed]))
        middles = [(low + high) / 2 for low, high in places]
        bars = ax.errorbar(
            values, middles, xerr=(below, above), fmt="none", ecolor=INK, elinewidth=1.5, capsize=3
        )
        for i, part in enumerate((*bars.lines[1], *bars.lines[2])):
            part.set_gid(f"{gid}-bars-{i}")
            marks.tags[f"{gid}-bars-{i}"] = tags
        highest = max(highest, *(v + a for v, a in zip(values, above, strict=True)))
    for case, _, y in rows.places:
        number_beside(ax, y, beside[case.key])
    ax.set_xlim(0, highest * 1.02 or 1.0)
    ax.set_xlabel(f"mean time of a request ({scale.unit})")
    return marks
