"""Records of a large journal: columns and places of lines instead of objects."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import record

from bench.results.record import RequestRecord, encode_record
from bench.results.records import read_lines

MANY = 9000
CHUNKS = 64


def streamed(index: int) -> RequestRecord:
    gaps = [10_000_000 + index + i for i in range(CHUNKS)]
    gaps[1] = 5_000_000_000 + index  # more than 32 bits hold
    return replace(record(index), block=index % 3, chunk_gaps_ns=gaps, chunks=CHUNKS)


@pytest.mark.slow
def test_a_large_journal_takes_a_fraction_of_its_objects(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    with path.open("wb") as file:
        file.writelines(encode_record(streamed(i)) for i in range(MANY))
    tracemalloc.start()
    records, torn, _ = read_lines(path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(records), torn) == (MANY, 0)
    # As objects they would take 4 kB each.
    assert kept / MANY < 900
    assert records[17] == streamed(17)
    assert records[-1] == streamed(MANY - 1)
    records.in_order()
    assert [r.index for r in records[:3]] == [0, 3, 6]
    assert records[1] == streamed(3)
    assert list(records.read(np.array([1, 0]))) == [streamed(3), streamed(0)]
    places = records.columns.stamps_from[1] + np.arange(CHUNKS)
    assert records.columns.stamps.at(places).tolist() == streamed(3).chunk_gaps_ns


def test_numbers_that_arrays_do_not_hold_lose_their_line_only(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    bad = [replace(record(1), sent_ns=2**63), replace(record(2), chunk_gaps_ns=[5, 2**90])]
    path.write_bytes(b"".join(map(encode_record, [record(0), *bad, record(3)])))
    records, torn, cut = read_lines(path)
    assert records == [record(0), record(3)]
    assert (torn, cut) == (2, False)
