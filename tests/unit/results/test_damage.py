"""A journal that is not as it was written is found out, and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import record, run_info

from bench.analysis.run.summarise import summarise
from bench.results.directory import RunDirectory, read_run
from bench.results.journal import REQUESTS_FILE
from bench.results.record import encode_record
from bench.results.run import RunStatus

LINES = [encode_record(record(index)) for index in range(5)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A run with one block of five requests, as it was written."""
    made = RunDirectory.create(tmp_path, "n")
    info = run_info(made.id)
    made.write_info(replace(info, blocks=(replace(info.blocks[0], records=5),)))
    made.write_file(REQUESTS_FILE, b"".join(LINES))
    return made.path


def other_case(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b'"block":0', b'"block":7')]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:3], ["2 requests of block 1 missing"]),
        (lambda lines: [], ["5 requests of block 1 missing"]),
        (lambda lines: [*lines, lines[2], lines[2]], ["2 lines there twice"]),
        (lambda lines: [*lines[:2], lines[2][:40] + b"\n", *lines[3:]], ["1 line unreadable"]),
        (lambda lines: [*lines[:2], lines[2][:-1], *lines[3:]], ["missing", "unreadable"]),
        (lambda lines: [*lines[:4], lines[4][:30]], ["1 request of block 1 missing"]),
        (other_case, ["1 request of block 1 missing", "of no block"]),
    ],
    ids=["missing", "empty", "doubled", "spoilt", "joined", "cut", "foreign"],
)
def test_what_is_wrong_is_named_and_invalidates(
    directory: Path, change: Callable[[list[bytes]], list[bytes]], said: list[str]
) -> None:
    (directory / REQUESTS_FILE).write_bytes(b"".join(change(list(LINES))))
    run = read_run(directory)
    (warning,) = run.info.warnings
    assert warning.code == "journal_damaged" and warning.invalidates
    assert all(part in warning.message for part in said), warning.message
    assert len(run.records) == len({r.index for r in run.records})
    assert not summarise(run.info, run.records).valid


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / REQUESTS_FILE).unlink()
    assert "5 requests of block 1 missing" in read_run(directory).info.warnings[0].message


@pytest.mark.parametrize("status", list(RunStatus))
def test_a_whole_journal_in_any_order_is_fine(directory: Path, status: RunStatus) -> None:
    made = RunDirectory(directory, directory.name)
    made.write_info(replace(read_run(directory).info, status=status))
    (directory / REQUESTS_FILE).write_bytes(b"".join(reversed(LINES)))
    assert read_run(directory).info.warnings == ()


def test_a_run_that_was_killed_is_no_damaged_one(directory: Path) -> None:
    """Its last block is in no count, and its last line may be cut."""
    made = RunDirectory(directory, directory.name)
    made.write_info(replace(read_run(directory).info, status=RunStatus.RUNNING, blocks=()))
    (directory / REQUESTS_FILE).write_bytes(b"".join([*LINES[:3], LINES[3][:20]]))
    run = read_run(directory)
    assert run.info.warnings == () and len(run.records) == 3 and run.torn_lines == 1


def test_runs_of_earlier_versions_have_no_counts(directory: Path) -> None:
    made = RunDirectory(directory, directory.name)
    info = read_run(directory).info
    made.write_info(replace(info, blocks=(replace(info.blocks[0], records=None),)))
    (directory / REQUESTS_FILE).write_bytes(b"".join(LINES[:3]))
    assert read_run(directory).info.warnings == ()
