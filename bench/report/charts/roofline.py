"""Memory read while decoding, against what can be read: each model, by its number of users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.run.summary import Estimate, Roofline
from bench.report.charts.axes import case_legend, level_axis, plain
from bench.report.charts.palette import INK, SOFT
from bench.report.charts.parts import Canvas, interval_line
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.result_tables import case_table
from bench.report.tables import Table, estimate_column, number_column, text_column
from bench.report.units import number

GB: Final = 1e9


def roofline_chart(report: Report) -> Chart | None:
    """The chart, None where no case has a roof."""
    found = [(c, r) for c in report.cases if (r := c.summary.roofline) and r.share <= 1]
    if not found:
        return None
    peaks = {round(r.peak_bytes_per_s / GB) for _, r in found}
    roofs = {round(r.reachable_bytes_per_s / GB) for _, r in found}
    apart = "; the dotted one what its highest clock would give" if peaks != roofs else ""
    sources = " ".join(dict.fromkeys(f"{r.place}: {r.source}." for _, r in found))
    assumed = "; ".join(dict.fromkeys(a for _, r in found for a in r.assumed))

    return Chart(
        id="roofline",
        title="Reading memory: reached and reachable",
        message=" ".join(_message(found)),
        caption=(
            "Bytes that decoding must read per second, weights and KV cache. The line above is "
            f"what the memory gives{apart}. {sources}"
            f"{f' Assumed: {assumed}.' if assumed else ''}"
        ),
        table=_table(found),
        draw=lambda on: _draw(on, found),
    )


def _message(found: Sequence[tuple[CaseView, Roofline]]) -> Iterator[str]:
    """Each model once, with the range over its cases."""
    for model in dict.fromkeys(c.model for c, _ in found):
        roofs = [r for c, r in found if c.model == model]
        ends = [f([r.bytes_per_s for r in roofs]) / GB for f in (min, max)]
        reached = " to ".join(dict.fromkeys(number(x, 1) for x in ends))
        yield f"{model}: {reached} of {number(roofs[0].reachable_bytes_per_s / GB, 1)} GB/s."


def _table(found: Sequence[tuple[CaseView, Roofline]]) -> Table:
    roofs = [r for _, r in found]
    cases = [c for c, _ in found]
    flops = [r.prefill_flop_per_s / 1e9 if r.prefill_flop_per_s else None for r in roofs]
    prompt = [r.flop_per_prompt_token / 1e9 for r in roofs]
    columns = [
        number_column("Read per step (MB)", "", [r.bytes_per_step / 1e6 for r in roofs]),
        number_column("Answers per step", "", [r.sequences for r in roofs]),
        number_column("Time of a step", "s", [r.step_s for r in roofs]),
        number_column("Of it reading, at least", "s", [r.reading_s for r in roofs]),
        number_column("Reached (GB/s)", "", [r.bytes_per_s / GB for r in roofs]),
        number_column("Reachable (GB/s)", "", [r.reachable_bytes_per_s / GB for r in roofs]),
        number_column("Peak (GB/s)", "", [r.peak_bytes_per_s / GB for r in roofs]),
        estimate_column("Share", "share", [c.estimate("mem_bw_share") for c in cases]),
        number_column("Prompt token (GFLOP)", "", prompt),
        number_column("Prefill (GFLOP/s)", "", flops),
        text_column("Memory of", [r.place for r in roofs]),
    ]
    return case_table("roofline-table", "Decoding against the memory's roof", cases, columns)


def _draw(on: Canvas, found: Sequence[tuple[CaseView, Roofline]]) -> None:
    of = {
        m: [p for p in found if p[0].model == m] for m in dict.fromkeys(c.model for c, _ in found)
    }
    top = case_legend(on, ((m, [c for c, _ in own]) for m, own in of.items()))
    ax = on.axes(54, 14, top, 42)
    for i, own in enumerate(of.values()):
        own.sort(key=lambda p: _level(*p))
        drawn = [
            (_level(c, r), _reached(c, r), f"{c.label}: {number(r.bytes_per_s / GB, 1)} GB/s")
            for c, r in own
        ]
        interval_line(on, ax, [c for c, _ in own], f"roof{i}", drawn, 1 / GB)
    for _, roof in found:
        ax.axhline(roof.reachable_bytes_per_s / GB, color=INK, linewidth=1.6)
        if roof.peak_bytes_per_s > 1.005 * roof.reachable_bytes_per_s:
            ax.axhline(roof.peak_bytes_per_s / GB, color=SOFT, linewidth=1.2, linestyle=(0, (1, 2)))
    ax.set_ylim(0, max(r.peak_bytes_per_s for _, r in found) / GB * 1.08)
    level_axis(ax, [_level(c, r) for c, r in found], "users")
    ax.yaxis.set_major_formatter(plain)
    ax.set_ylabel("GB/s read")


def _level(case: CaseView, roof: Roofline) -> float:
    """Users, or answers at once where there are none."""
    return case.users or max(1, round(roof.sequences))


def _reached(case: CaseView, roof: Roofline) -> Estimate:
    """The share's interval, in bytes per second."""
    share, by = case.estimate("mem_bw_share"), roof.reachable_bytes_per_s
    if share is None or share.low is None or share.high is None:
        return Estimate(roof.bytes_per_s)
    return Estimate(roof.bytes_per_s, share.low * by, share.high * by)
