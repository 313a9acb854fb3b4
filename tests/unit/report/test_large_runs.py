"""The page of a large run reads the records that it shows, not all of them."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from runs import CONCURRENCY, write_run

from bench.report.write import page_of
from bench.results import records
from bench.results.record import RequestRecord


@pytest.mark.slow
def test_only_shown_records_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = write_run(tmp_path, replace(CONCURRENCY, requests=175, output_tokens=3))
    lines = (run_dir / "requests.jsonl").read_bytes().count(b"\n")
    read: list[int] = []
    plain = records._line_at

    def counted(file: BinaryIO, begin: int, length: int) -> RequestRecord:
        read.append(begin)
        return plain(file, begin, length)

    monkeypatch.setattr(records, "_line_at", counted)
    page_of([run_dir])
    assert lines > 4096  # fewer are kept as objects
    assert 30 <= len(read) < lines / 8
