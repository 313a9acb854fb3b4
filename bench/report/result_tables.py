"""Tables of what was measured: the comparison, every metric, every block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from bench.analysis.run.summary import Estimate, Metric
from bench.metrics import METRICS, term
from bench.report.model import NO_AXIS, QUEUE_FLOOR_S, CaseView, Report
from bench.report.ratios import against_best, baselines
from bench.report.sentences import Rule, loading, reading
from bench.report.session_words import CHECKS
from bench.report.tables import (
    Cell,
    Column,
    Table,
    TableColumn,
    estimate_column,
    from_columns,
    number_column,
    text_column,
)
from bench.report.units import plural, supported

STATISTICS: Final = ("value", "mean", "p5", "p50", "p90", "p95", "p99", "min", "max")
"""Statistics in the order in which tables show them."""

_WORK_VALUES: Final = (
    ("eligible_cached_share", "Cache kept"),
    ("cached_share", "Cached"),
    ("session_per_h", "Sessions"),
    ("text_per_s", "Texts"),
    ("json_valid_rate", "Valid JSON"),
    ("schema_valid_rate", "Follows the schema"),
    ("tool_call_valid_rate", "Valid calls"),
    ("image_tokens", "Tokens, a picture"),
    ("image_s", "Time, a picture"),
    ("swaps", "Loads"),
    ("swap_s", "Lost to loads"),
)
_MEMORY: Final = "Of model and context, /api/ps"
_FEW_BLOCKS: Final = 3
_WIDE_SHARE: Final = 0.15
_LATENCIES: Final = (
    ("ttft_s", "First text", ("p50", "p95")),
    ("user_turn_s", "Turn", ("p50",)),
    ("first_turn_ttft_s", "First turn's text", ("p50",)),
    ("later_ttft_s", "Later text", ("p50",)),
    ("batch_s", "Batch", ("p50",)),
    ("answer_ttft_s", "First answer text", ("p50",)),
    ("e2e_s", "Whole answer", ("p50",)),
    ("queue_s", "Queue", ("p50",)),
    ("load_s", "Load", ("p50",)),
)

_BLOCK_VALUES: Final = (
    *("decode_tok_per_s", "output_tok_per_s", "request_per_s", "ttft_s.p50", "ttft_s.p95"),
    *("tpot_s.p50", "e2e_s.p50", "queue_s.p50", "prompt_eval_s.p50", "output_tokens.mean"),
    "error_rate",
)

# Columns that say something only where the answers speak of it.
_ONLY_IF: Final[dict[str, Rule]] = {"prefill_tok_per_s": reading, "load_s": loading}


def comparison_table(report: Report) -> Table:
    """One row a case: speed and its ratio to the best, latency, failures, size and memory."""
    cases = report.cases
    loads_differ = len({(c.users, c.rate_per_s) for c in cases}) > 1

    def each(titles: Iterable[tuple[str, str, str]]) -> list[TableColumn]:
        return [_metric_column(cases, id, stat, title) for id, stat, title in titles]

    columns = [request_column(cases)]
    if any(c.rate_per_s for c in cases):
        columns += each([("request_per_s", "value", "Requests served")])
    columns += _speed_columns(cases, "decode_tok_per_s", "Decode speed")
    columns += _speed_columns(cases, "output_tok_per_s", "Throughput", compared=loads_differ)
    latencies = ((id, s, f"{title}, {s}") for id, title, stats in _LATENCIES for s in stats)
    columns += each(x for x in latencies if _worth_showing(cases, *x[:2]))
    work = [(id, title) for id, title in _WORK_VALUES if any(c.estimate(id) for c in cases)]
    columns += each((id, "value", title) for id, title in work)
    if _worth_showing(cases, "prefill_tok_per_s", "value"):
        columns += each([("prefill_tok_per_s", "value", "Prefill speed")])
    columns += [
        number_column("Model file", "B", [_file_bytes(report, c) for c in cases]),
        number_column("Memory", "B", [_memory_bytes(report, c) for c in cases], _MEMORY),
    ]
    notes = ("95 % intervals.", *_compared(cases), *_tail_needs(cases), *few_blocks(cases))
    more = {"note": " ".join(notes), "filterable": len(cases) > 6}
    return case_table("comparison", "Speed and waiting, case by case", cases, columns, **more)


def _speed_columns(
    cases: Sequence[CaseView], metric_id: str, title: str, *, compared: bool = True
) -> list[TableColumn]:
    """A speed, and how every case stands to the fastest."""
    columns = [_metric_column(cases, metric_id, "value", title, bars=True)]
    best, ratios = against_best(cases, metric_id)
    if compared and best is not None:
        meaning = "Ratio to the case with the highest value"
        column, cells = estimate_column(f"{title} / best", "", ratios, help_text=meaning)
        named = [Cell("best") if c is best else cell for c, cell in zip(cases, cells, strict=True)]
        column = replace(column, baselines=tuple(baselines(cases, metric_id)))
        columns.append((column, named))
    return columns


def _compared(cases: Sequence[CaseView]) -> Iterator[str]:
    if against_best(cases, "decode_tok_per_s")[0] is not None:
        yield (
            "The range of a ratio allows for both intervals, and for the best having been chosen "
            "among all; where it holds 1, the case cannot be distinguished from the best."
        )


def _file_bytes(report: Report, case: CaseView) -> int | None:
    """Size of the weights on disk, as the server said."""
    models = report.runs[case.run].run.info.models
    wanted = (case.summary.target, case.model)
    return next((m.size_bytes for m in models if (m.target, m.name) == wanted), None)


def _memory_bytes(report: Report, case: CaseView) -> int | None:
    """The most that the model took in memory after any of its blocks."""
    blocks = report.runs[case.run].run.info.blocks
    sizes = [
        b.after.size_bytes
        for b in blocks
        if b.case == case.summary.id and b.after is not None and b.after.size_bytes
    ]
    return max(sizes, default=None)


def _tail_needs(cases: Sequence[CaseView]) -> Iterator[str]:
    """Says which percentile how many cases are too short for."""
    for stat in ("p50", "p95"):
        tails = [e for c in cases if (e := c.estimate("ttft_s", stat))]
        short = [e for e in tails if e.needs and not supported(e, stat)]
        if short:
            most = max(short, key=lambda e: e.needs or 0)
            yield (
                f"The {stat} of the first text {most.needed}: "
                f"{plural(len(short), 'case')} had fewer."
            )


def few_blocks(cases: Sequence[CaseView]) -> Iterator[str]:
    """Why the share of valid answers is so uncertain, where the few blocks are the reason."""
    wide = [c for c in cases if any(map(_is_wide, (c.estimate(id) for id in CHECKS)))]
    few = [n for c in wide if 1 < (n := len(c.summary.blocks)) <= _FEW_BLOCKS]
    if few:
        yield (
            f"Shares of valid answers have wide intervals where they rest on {min(few)} blocks, "
            "however many requests those have: so few hardly show how much blocks differ. "
            "Six (blocks: 6) do."
        )


def _is_wide(share: Estimate | None) -> bool:
    if share is None or share.low is None or share.high is None:
        return False
    return share.high - share.low > _WIDE_SHARE


def _worth_showing(cases: Sequence[CaseView], metric_id: str, stat: str) -> bool:
    """Whether a column says something: of tails, thinking, long prompts, queues, cold starts."""
    if metric_id in _ONLY_IF:
        return any(_ONLY_IF[metric_id](c) for c in cases)
    if metric_id == "queue_s":
        return any(c.value(metric_id, stat) >= QUEUE_FLOOR_S for c in cases)
    if metric_id != "answer_ttft_s":
        return any(c.known(metric_id, stat) for c in cases)
    pairs = [(c.estimate("ttft_s", "p50"), c.estimate(metric_id, "p50")) for c in cases]
    return any(a and b and a.value != b.value for a, b in pairs)


def case_columns(cases: Sequence[CaseView]) -> list[TableColumn]:
    """The first columns of a table with a row a case: the axes in which the cases differ."""
    names = list(dict.fromkeys(name for c in cases for name, _ in c.columns))
    if not names:
        return [text_column("Case", [c.label for c in cases])]
    return [text_column(n, [dict(c.columns).get(n, NO_AXIS) for c in cases]) for n in names]


def case_table(
    table_id: str,
    caption: str,
    cases: Sequence[CaseView],
    columns: Sequence[TableColumn],
    **more: Any,
) -> Table:
    """A table with a row a case, which its first columns name; `more` as `from_columns` has it."""
    models, keys = [c.model for c in cases], [c.key for c in cases]
    every = [*case_columns(cases), *columns]
    return from_columns(table_id, caption, every, models=models, keys=keys, **more)


def request_column(cases: Sequence[CaseView]) -> TableColumn:
    """How many requests ended well, and how many did not."""
    cells = []
    for case in cases:
        counts = case.summary.requests
        failed = f" + {counts.failed:,} failed" if counts.failed else ""
        cells.append(Cell(f"{counts.ok:,}{failed}", raw=float(counts.ok)))
    return Column("Requests", numeric=True, help="Measured requests that ended well"), cells


def _metric_column(
    cases: Sequence[CaseView], metric_id: str, stat: str, title: str, *, bars: bool = False
) -> TableColumn:
    unit = _unit(cases, metric_id)
    estimates = [c.estimate(metric_id, stat) for c in cases]
    more = {"help_text": term(metric_id).meaning, "key": f"{metric_id}.{stat}"}
    return estimate_column(title, unit, estimates, stat, bars=bars, **more)


def metric_table(report: Report, metric_id: str, prefix: str = "") -> Table | None:
    """Every statistic of one metric, a row a case; None if no case has it."""
    cases = [c for c in report.cases if c.metric(metric_id)]
    if not cases:
        return None
    metrics = [m for c in cases if (m := c.metric(metric_id))]
    unit = stored_unit(metrics[0])
    columns = [text_column("n", [m.n for m in metrics])]
    for stat in STATISTICS:
        estimates = [m.stats.get(stat) for m in metrics]
        if any(estimates):
            title = "Value" if stat == "value" else stat
            columns.append(estimate_column(title, unit, estimates, stat, key=f"{metric_id}.{stat}"))
    columns.append(text_column("Note", [m.note for m in metrics]))
    found = (e.method for m in metrics for e in m.stats.values() if e.method)
    methods, name = "; ".join(dict.fromkeys(found)), term(metric_id)
    note = f"{name.meaning} Intervals: {methods}." if methods else name.meaning
    caption, id = f"{name.label} ({metric_id})", f"{prefix}metric-{metric_id}"
    return case_table(id, caption, cases, columns, note=note, folded=not prefix)


def _unit(cases: Sequence[CaseView], metric_id: str) -> str:
    return next((stored_unit(m) for c in cases if (m := c.metric(metric_id))), "")


def _title(metric_id: str, stat: str) -> str:
    label = term(metric_id).label
    return label if stat in ("", "value") else f"{label}, {stat}"


def stored_unit(metric: Metric) -> str:
    """The unit of a metric's stored numbers; shares have none, counts have theirs."""
    kind = METRICS.get(metric.id)
    if kind is not None and kind.unit == "money":
        return metric.unit
    return kind.shown_unit if kind is not None else metric.unit


def metrics_by_case(
    table_id: str, caption: str, cases: Sequence[CaseView], wanted: Sequence[tuple[str, str]]
) -> Table:
    """Some statistics of some cases, (metric id, statistic) each: the numbers of a chart."""
    columns = [request_column(cases)]
    for metric_id, stat in wanted:
        columns.append(_metric_column(cases, metric_id, stat, _title(metric_id, stat)))
    return case_table(table_id, caption, cases, columns)


def absent_table(report: Report) -> Table | None:
    """Metrics without a number in any case, and why; None if there is none."""
    shown = set(shown_metrics(report))
    notes: dict[str, str] = {}
    for case in report.cases:
        for name, m in case.summary.metrics.items():
            if name not in shown:
                notes[name] = notes.get(name) or m.note
    if not notes:
        return None
    columns = [
        text_column("Metric", [f"{term(m).label} ({m})" for m in notes]),
        text_column("Why", notes.values()),
    ]
    return from_columns("absent", "Metrics without a number", columns, folded=True)


def shown_metrics(report: Report) -> tuple[str, ...]:
    """Ids of all metrics with a number in any case, in the list's order, then the others."""
    present = dict.fromkeys(
        name
        for c in report.cases
        for name, m in c.summary.metrics.items()
        if any(e.value is not None for e in m.stats.values())
    )
    return (*(t for t in METRICS if t in present), *(m for m in present if m not in METRICS))


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
        id, _, stat = key.partition(".")
        unit, values = _unit(report.cases, id), [b.values.get(key) for _, b in rows]
        columns.append(number_column(_title(id, stat), unit, values))
    note = (
        "A block is one uninterrupted stretch of one case. Point values, without intervals; the "
        "summary inside this page holds every statistic of every block."
    )
    models = [c.model for c, _ in rows]
    more: dict[str, Any] = {"note": note, "filterable": len(rows) > 12, "folded": True}
    return from_columns("blocks", "Every block, in order of time", columns, models=models, **more)
