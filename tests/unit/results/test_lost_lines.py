"""A disk that is full, a kill or a deleted file costs one line at most."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from small_runs import record

from bench.errors import ResultsError
from bench.hidden import HIDDEN
from bench.results.journal import Journal, read_records
from bench.results.record import scrubbed


def test_a_line_that_was_written_in_part_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [10_000]
    write = os.write

    def disk(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(fd, data[: room[0]])
        room[0] -= done
        return done

    file = tmp_path / "requests.jsonl"
    with Journal(file) as journal:
        journal.append(record(0))
        monkeypatch.setattr(os, "write", disk)
        room[0] = 40
        with pytest.raises(ResultsError, match="No space left"):
            journal.append(record(1))
        room[0] = 10_000
        journal.append(record(2))
    read = read_records(file)
    assert [r.index for r in read.records] == [0, 2]
    assert read.torn == 0


def test_a_line_that_a_kill_tore_takes_no_other_with_it(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b'{"case": "a", "blo')
    with Journal(file) as journal:
        journal.append(record(0))
    read = read_records(file)
    assert [r.index for r in read.records] == [0]
    assert read.torn == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_that_was_deleted_is_as_private_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "sessions.jsonl"
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    with Journal(file) as journal:
        journal.append({"said": "a"})
        file.unlink()
    assert file.read_bytes() == b'{"said":"a"}\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_secrets_in_fields_that_nobody_asked_for_are_hidden() -> None:
    said = {"trace": {"header": "Bearer abc123.def456"}, "nums": [1, 2]}
    kept = scrubbed(record(0, other_fields=said))
    assert kept.other_fields == {"trace": {"header": f"Bearer {HIDDEN}"}, "nums": [1, 2]}
