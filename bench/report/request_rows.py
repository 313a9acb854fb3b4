"""Every request of some runs as one table: what was recorded, and what follows for each.

One column a name, one value a request, in full precision; absent is None, and is not zero. The
derived ones (`ttft_s`, `decode_tok_per_s`, ...) are there for requests that ended well, and only
where the report would use them: what cannot be true has been refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.run import rates
from bench.analysis.run.columns import COLUMN_OF, OUTCOMES, PHASES, Columns
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.latency import latencies
from bench.errors import UsageError
from bench.files import write_whole
from bench.ollama.eras import era_of
from bench.report.csv import cell_text, rows_csv
from bench.results.directory import Run
from bench.results.records import records_of
from bench.results.run import RunInfo
from bench.scenario.plan import Case

Column = list[Any]

_TEXTS = ("run_id", "case", "model", "target", "phase", "outcome", "done_reason", "error", "side")
_COUNTS = ("prompt_tokens", "cached_tokens", "output_tokens")
"""Counts of the done line that can be believed."""


def request_table(runs: Sequence[Run]) -> dict[str, Column]:
    """The requests of some runs: name -> one value a request.

    Raw fields of the server keep Ollama's names (`eval_duration`, nanoseconds); times of the client
    are seconds from the start of the run.
    """
    tables = [_table(run) for run in runs]
    return {name: [v for table in tables for v in table[name]] for name in tables[0]}


def request_csv(runs: Sequence[Run]) -> str:
    """The same as CSV: stable names, absent values empty, text that is no formula."""
    table = request_table(runs)
    for name in _TEXTS:
        table[name] = [None if text is None else cell_text(text) for text in table[name]]
    return rows_csv(chain([tuple(table)], zip(*table.values(), strict=True)))


def write_parquet(runs: Sequence[Run], path: Path) -> None:
    """The same as a Parquet file.

    Raises:
        UsageError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed",
            "Install it with: pip install 'ollama-bench[parquet]'; or take --format requests-csv.",
        ) from None
    table = request_table(runs)
    types = dict.fromkeys(_TEXTS, pyarrow.string()) | {"stream": pyarrow.bool_()}
    for name in table.keys() - types.keys():
        types[name] = pyarrow.float64() if name.endswith("_s") else pyarrow.int64()
    arrays = [pyarrow.array(table[name], type=types[name]) for name in table]
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(table)), content)
    write_whole(path, content.getbuffer())


def _table(run: Run) -> dict[str, Column]:
    info = run.info
    columns = columns_of(run.records, [c.id for c in info.plan.cases])
    read = records_of(run.records)
    whole, optional = read.columns.whole, read.columns.optional
    planned = {b.index: b for b in info.plan.blocks}
    blocks = [planned.get(b) for b in whole["block"].tolist()]
    cases = {c.id: c for c in info.plan.cases}
    ids = _named(read.named("case"))
    return {
        "run_id": [info.id] * len(columns),
        "case": ids,
        "model": _named(read.named("model")),
        "target": [cases[i].target if i in cases else None for i in ids],
        "block": [b + 1 for b in whole["block"].tolist()],
        "pair": [b.pair if b else None for b in blocks],
        "side": [b.side if b else None for b in blocks],
        "request": [i + 1 for i in whole["index"].tolist()],
        "user": _integers(optional["user"] + 1),
        "phase": [PHASES[p].value for p in columns.phase.tolist()],
        "outcome": [OUTCOMES[o].value for o in columns.outcome.tolist()],
        "status": _integers(optional["status"]),
        "done_reason": [text or None for text in _named(read.named("done_reason"))],
        "error": [text or None for text in _named(read.named("error"))],
        "stream": columns.stream.tolist(),
        **{f"{t}_s": _floats(optional[f"{t}_ns"] / 1e9) for t in ("planned", "sent", "end")},
        **{name: _integers(optional[f"server.{name}"]) for name in COLUMN_OF},
        **{new: _integers(getattr(columns, new)) for new in _COUNTS},
        **{n: whole[n].tolist() for n in ("chunks", "answer_chars", "thinking_chars")},
        **_derived(info, columns),
    }


def _derived(info: RunInfo, columns: Columns) -> dict[str, Column]:
    """The metrics of each request that ended well."""
    found = {id: np.where(columns.ok, v, np.nan) for id, v in latencies(columns).items()}
    names = ("decode_tok_per_s", "ollama_tok_per_s", "prefill_tok_per_s")
    speeds = {name: np.full(len(columns), np.nan) for name in names}
    for number, case in enumerate(info.plan.cases):
        rows = np.flatnonzero(columns.ok & (columns.case == number))
        for name, values in zip(names, _speeds(info, case, columns.select(rows)), strict=True):
            speeds[name][rows] = values
    return {name: _floats(values) for name, values in (found | speeds).items()}


def _speeds(info: RunInfo, case: Case, own: Columns) -> Iterator[NDArray[np.float64]]:
    version = next((t.version for t in info.targets if t.name == case.target), "")
    models = [m for m in info.models if (m.target, m.name) == (case.target, case.model)]
    era = era_of(version, (models[0].format if models else "") or "gguf")
    yield rates.decode(own, era).per_request
    yield rates.ollama_decode(own, era).per_request
    yield rates.prefill(own, era, case.prompts.cache == "bust").per_request


def _named(named: tuple[NDArray[Any], list[str]]) -> Column:
    codes, texts = named
    return [texts[code] for code in codes.tolist()]


def _floats(values: NDArray[Any]) -> Column:
    return [None if v != v else v for v in values.tolist()]


def _integers(values: NDArray[Any]) -> Column:
    return [None if v != v else int(v) for v in values.tolist()]
