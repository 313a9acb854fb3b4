"""The table of all blocks of the runs on a page."""

from __future__ import annotations

from typing import Final

from bench.metrics import term
from bench.report.model import Report
from bench.report.result_tables import stored_unit
from bench.report.tables import Table, from_columns, number_column, text_column

_BLOCK_VALUES: Final = (
    "decode_tok_per_s",
    "output_tok_per_s",
    "request_per_s",
    "ttft_s.p50",
    "ttft_s.p95",
    "tpot_s.p50",
    "e2e_s.p50",
    "queue_s.p50",
    "prompt_eval_s.p50",
    "output_tokens.mean",
    "error_rate",
)


def block_table(report: Report) -> Table | None:
    """Point values of every block in order of time; None if there are none."""
    rows = [(c, b) for c in report.cases for b in c.summary.blocks]
    rows.sort(key=lambda pair: (pair[0].run, pair[1].start_s))
    if not rows:
        return None
    present = {k for _, b in rows for k in b.values}
    columns = [
        text_column("Block", [f"{b.number}: {c.label}" for c, b in rows]),
        number_column("Start", "s", [b.start_s for _, b in rows]),
        text_column("Requests", [b.n_ok for _, b in rows]),
    ]
    for key in (k for k in _BLOCK_VALUES if k in present):
        metric_id, _, stat = key.partition(".")
        unit = next((stored_unit(m) for c, _ in rows if (m := c.metric(metric_id))), "")
        title = f"{term(metric_id).label}, {stat}" if stat else term(metric_id).label
        columns.append(number_column(title, unit, [b.values.get(key) for _, b in rows]))
    return from_columns(
        "blocks",
        "Every block, in order of time",
        columns,
        models=[c.model for c, _ in rows],
        note=(
            "A block is one uninterrupted stretch of one case. Point values, without intervals; "
            "the summary inside this page holds every statistic of every block."
        ),
        filterable=len(rows) > 12,
        folded=True,
    )
