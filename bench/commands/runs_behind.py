"""What reports of a comparison take from the runs behind it: distributions, benchstat's lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison.result import Comparison
from bench.commands.stored_runs import read_subject, read_summary, resolve
from bench.results.directory import Run, read_info
from bench.results.history import History
from bench.results.journal import REQUESTS_FILE, read_records

if TYPE_CHECKING:
    from bench.report.page import Chart

_MOST_DRAWN = 10_000
"""Requests of a run that distributions are drawn from, at most."""


def benchstat_lines(
    runs: Sequence[str | Path],
    history: History | None = None,
    comparisons: Sequence[Comparison] = (),
) -> str:
    """Runs, the baseline first, as lines that `benchstat -col side` compares."""
    from bench.report.ci_formats import benchstat, refusal_comment
    from bench.shown import one_line

    # benchstat would compare what was refused without a word.
    parts = [refusal_comment(c) for c in comparisons if c.refused]
    for number, name in enumerate(comparable(runs, comparisons)):
        subject = read_subject(name, history)
        sides = {
            "a": "baseline",
            "b": "candidate",
            "": "baseline" if number == 0 else subject.label,
        }
        for side, label in sides.items():
            cases = [c for c in subject.summary.cases if c.axes.get("side", "") == side]
            if cases:
                parts.append(f"side: {one_line(label)}\n{benchstat(cases)}")
    return "\n".join(parts)


def comparable(
    runs: Sequence[str | Path], comparisons: Sequence[Comparison]
) -> Sequence[str | Path]:
    """The runs that were not refused, the baseline first; nothing if that is the baseline alone."""
    if not any(c.refused for c in comparisons):
        return runs
    kept = [run for run, c in zip(runs[1:], comparisons, strict=False) if not c.refused]
    return [runs[0], *kept] if kept else []


def distribution_charts(
    runs: Sequence[str | Path], history: History | None = None
) -> tuple[Chart, ...]:
    """How the times of single requests are distributed, side by side."""
    from bench.report.charts.distribution import distribution_chart
    from bench.report.model import build_report
    from bench.report.samples import samples_of

    read, summaries, sparse = [], [], False
    for name in runs:
        path = resolve(name, history)
        info = read_info(path)
        summary = read_summary(path, info)
        total = sum(c.requests.ok + c.requests.failed for c in summary.cases)
        every = total // _MOST_DRAWN + 1
        sparse |= every > 1
        read.append(Run(path, info, read_records(path / REQUESTS_FILE, every)[0]))
        summaries.append(summary)
    metrics = ("ttft_s", "tpot_s", "e2e_s")
    samples = samples_of(build_report(read, summaries), metrics)
    charts = [distribution_chart(samples, m, f"distribution-{m}") for m in metrics]
    note = f" Drawn from at most {_MOST_DRAWN:,} requests of each run, evenly spread."
    return tuple(
        replace(c, caption=c.caption + (note if sparse else "")) for c in charts if c is not None
    )
