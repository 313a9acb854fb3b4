"""Records of a large journal: columns and places of lines instead of objects."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import record

from bench.results import records as reading
from bench.results.record import RequestRecord, decode_record, encode_record
from bench.results.records import read_lines, records_of

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


@pytest.mark.parametrize("every", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 11, 12, 23])
def test_pieces_of_a_journal_hold_what_its_lines_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, count: int
) -> None:
    monkeypatch.setattr(reading, "_PIECE", 6)
    lines = [encode_record(record(i)) for i in range(count)]
    for torn in (4, 6, 8, 22):
        if torn < count:
            lines[torn] = lines[torn][:20] + b"\n"
    for unbounded in (5, 10):
        if unbounded < count:
            lines[unbounded] = encode_record(replace(record(unbounded), sent_ns=2**63))
    lines += [b'{"case"'] if count % every == 0 else []
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"".join(lines))
    expected, lost = [], 0
    for line in lines[::every]:
        try:
            expected.append(decode_record(line))
        except ValueError:
            lost += 1
    records, torn, cut = read_lines(path, every)
    assert list(records) == expected
    assert [records[i] for i in range(len(records))] == expected
    assert (torn, cut) == (lost, count % every == 0)


def test_texts_are_numbered_in_the_order_in_which_they_came() -> None:
    """Not as a set has them, which is another order in every process."""
    names = [f"session {7 * i % 50}" for i in range(50)]
    records = records_of([record(i, session=name) for i, name in enumerate(names)])
    codes, texts = records.named("session")
    assert texts == names
    assert codes.tolist() == list(range(50))
