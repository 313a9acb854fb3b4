"""One table model for every renderer: console, markdown, HTML, CSV.

A cell keeps the number it shows beside its text, so that a table can be sorted, copied with full
precision and checked against the summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.analysis.run.summary import Estimate
from bench.report.units import NO_VALUE, Scale, Shown, scale_for, show, supported


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: as displayed, without the unit that stands in the column's head.
        raw: the stored number behind it; None for text and for absent numbers.
        low, high: ends of its interval, as stored.
        shown: how the number was rounded; None for text.
        bar: (value, low, high) as shares of the column's largest, for a small drawing beside it.
        href: of a row's first cell: where it leads in HTML, relative to the page.
    """

    text: str
    raw: float | None = None
    low: float | None = None
    high: float | None = None
    shown: Shown | None = None
    bar: tuple[float, float, float] | None = None
    href: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; numbers are aligned right.

    Attributes:
        unit: of the numbers as displayed.
        key: metric and statistic of its numbers, "ttft_s.p50"; "" if they are not from a summary.
        factor: displayed = stored x factor.
        baselines: of ratios: other cases that they can stand against, with the cells then.
    """

    title: str
    unit: str = ""
    numeric: bool = False
    help: str = ""
    key: str = ""
    factor: float = 1.0
    baselines: tuple[tuple[str, tuple[Cell, ...]], ...] = ()

    @property
    def head(self) -> str:
        """Title with unit: "TTFT p50 (ms)"."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Row:
    """One row; its first cell is its header.

    Attributes:
        model: the model it belongs to, for hiding and showing; "" if none.
        key: of the case it is about; "" if it is about something else.
    """

    cells: tuple[Cell, ...]
    model: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A captioned table.

    Attributes:
        note: below the table.
        filterable: long enough that searching in it helps.
        folded: behind a disclosure in HTML.
    """

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    note: str = ""
    filterable: bool = False
    folded: bool = False

    def of_columns(self, places: Sequence[int]) -> Table:
        """The same with some of its columns."""
        rows = tuple(replace(r, cells=tuple(r.cells[i] for i in places)) for r in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in places), rows=rows)


TableColumn = tuple[Column, list[Cell]]
"""A column and its cells, from which tables are made."""


def present(*tables: Table | None) -> tuple[Table, ...]:
    """The tables that there are, and that have rows."""
    return tuple(t for t in tables if t is not None and t.rows)


def text_cell(text: object) -> Cell:
    """A cell with text; a whole number keeps its value."""
    if isinstance(text, bool) or not isinstance(text, int):
        return Cell(NO_VALUE if text in (None, "") else str(text))
    return Cell(f"{text:,}", raw=float(text), shown=Shown(f"{text:,}", raw=float(text)))


def estimate_column(
    title: str,
    unit: str,
    estimates: Sequence[Estimate | None],
    stat: str = "value",
    *,
    bars: bool = False,
    help_text: str = "",
    key: str = "",
) -> TableColumn:
    """A column of estimates in one common unit, and its cells; with bars beside them if wanted."""
    kept = [e for e in estimates if e is not None and supported(e, stat)]
    scale = scale_for(unit, *(e.value for e in kept))
    top = max((e.high if e.high is not None else e.value or 0.0 for e in kept), default=0.0)
    cells = [_estimate_cell(e, unit, scale, stat, top if bars else 0.0) for e in estimates]
    column = Column(title, scale.unit if kept else "", True, help_text, key, scale.factor)
    return column, cells


def _estimate_cell(
    estimate: Estimate | None, unit: str, scale: Scale, stat: str, top: float
) -> Cell:
    shown = show(estimate, unit, scale, stat)
    if estimate is None or shown.raw is None:
        return Cell(shown.cell, shown=shown)
    low = estimate.low if estimate.low is not None else shown.raw
    high = estimate.high if estimate.high is not None else shown.raw
    bar = (shown.raw / top, max(low, 0.0) / top, high / top) if top > 0 else None
    return Cell(shown.cell, shown.raw, estimate.low, estimate.high, shown, bar)


def number_column(
    title: str, unit: str, values: Sequence[float | None], help_text: str = ""
) -> TableColumn:
    """A column of plain numbers in one common unit, and its cells."""
    return estimate_column(
        title, unit, [None if v is None else Estimate(v) for v in values], help_text=help_text
    )


def text_column(title: str, texts: Iterable[object], help_text: str = "") -> TableColumn:
    """A column of texts or counts, and its cells."""
    cells = [text_cell(t) for t in texts]
    numeric = any(c.raw is not None for c in cells)
    return Column(title, numeric=numeric, help=help_text), cells


def from_columns(
    table_id: str,
    caption: str,
    columns: Sequence[TableColumn],
    *,
    models: Sequence[str] = (),
    keys: Sequence[str] = (),
    note: str = "",
    filterable: bool = False,
    folded: bool = False,
) -> Table:
    """A table from its columns; columns without any content are left out, except the first."""
    kept = [c for i, c in enumerate(columns) if i == 0 or any(x.text != NO_VALUE for x in c[1])]
    cells_by_row = zip(*(cells for _, cells in kept), strict=True)
    rows = tuple(
        Row(tuple(cells), models[i] if models else "", keys[i] if keys else "")
        for i, cells in enumerate(cells_by_row)
    )
    return Table(table_id, caption, tuple(c for c, _ in kept), rows, note, filterable, folded)


def from_pairs(
    table_id: str, caption: str, pairs: Iterable[tuple[str, object]], note: str = ""
) -> Table:
    """A two-column table of names and values; pairs without a value are left out."""
    rows = tuple(
        Row((Cell(name), text_cell(value)))
        for name, value in pairs
        if value is not None and value != ""
    )
    return Table(table_id, caption, (Column("What"), Column("Value")), rows, note)
