"""A few damaged files of every kind; thousands are in `tests/performance/damaged_files_long.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import damaged_files
import pytest
import runs
import whole_files
from small_runs import record, run_info

from bench.errors import BenchError
from bench.files import open_file, read_file
from bench.results.directory import RunDirectory, read_info, read_run
from bench.results.history import History, IndexedCase, IndexedRun, Value
from bench.results.journal import REQUESTS_FILE
from bench.results.record import RequestRecord, decode_record, encode_record
from bench.scenario.loading import load_scenario
from bench.scenario.promptfile import read_prompt_file
from bench.scenario.traces import load_trace


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def write_run(folder: Path, number: int) -> Path:
        return runs.write_run(folder, replace(runs.Workload(), seed=number, requests=4, blocks=2))

    return whole_files.made_whole(tmp_path_factory.mktemp("whole"), write_run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entrance",
    [e for e in damaged_files.ENTRANCES if "page" not in e.name],
    ids=lambda entrance: entrance.name,
)
def test_damage_ends_in_a_message_or_a_result(
    entrance: damaged_files.Entrance,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    figures = damaged_files.try_entrance(entrance, whole, tmp_path, 12, seed=1)
    assert figures.failed == []
    assert figures.tried == 12


ODD_LINES = {
    "not UTF-8": encode_record(record(2, text="é")).replace(b"\xc3\xa9", b"\xe9"),
    "half a character": encode_record(record(2, text="é")).replace(b"\xc3\xa9", b"\\ud83d"),
    "a huge number": encode_record(record(2, sent_ns=5)).replace(b":5", b":" + b"9" * 400),
    "a larger one": encode_record(record(2, sent_ns=5)).replace(b":5", b":" + b"9" * 5000),
    "beyond 64 bits": encode_record(record(2, sent_ns=2**63)),
    "gaps beyond 64 bits": encode_record(record(2, chunk_gaps_ns=[2**64])),
    "nested deeply": encode_record(record(2))[:-2] + b',"x":' + b"[" * 100_000 + b"\n",
    "zeros": bytes(4096) + b"\n",
    "empty": b"\n",
}


@pytest.mark.parametrize("line", ODD_LINES.values(), ids=ODD_LINES.keys())
def test_a_line_that_cannot_be_read_costs_its_own_record(line: bytes, tmp_path: Path) -> None:
    made = RunDirectory.create(tmp_path, "n")
    info = run_info(made.id)
    made.write_info(replace(info, blocks=(replace(info.blocks[0], records=4),)))
    lines = [encode_record(record(i)) for i in range(4)]
    made.write_file(REQUESTS_FILE, b"".join([*lines[:2], line, lines[3]]))
    run = read_run(made.path)
    assert [r.index for r in run.records] == [0, 1, 3]
    (warning,) = run.info.warnings
    assert "1 line unreadable" in warning.message and warning.invalidates


def test_every_number_of_a_record_is_bounded() -> None:
    """Arrays of 64 bits hold every number that is read, and every difference of two."""
    numbers = [
        f.name
        for f in fields(RequestRecord)
        if str(f.type) == "int | None" and f.name[-3:] == "_ns"
    ]
    assert len(numbers) > 8
    for name in numbers:
        for odd in (2**62, -(2**63), 10**30):
            with pytest.raises(ValueError, match="without bounds"):
                decode_record(encode_record(record(**{name: odd})))
        kept = decode_record(encode_record(record(**{name: 2**62 - 1})))
        assert getattr(kept, name) == 2**62 - 1


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"schema": 1, "id": "\xff"}', b'{"schema": ' + b"9" * 5000]
)
def test_run_json_that_cannot_be_read_is_named(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(raw)
    with pytest.raises(BenchError, match="is not a run file of ollama-bench"):
        read_info(tmp_path)


def indexed(number: int) -> IndexedRun:
    case = IndexedCase("m", "identity", "0.1", "m", {"ttft_s.p50": Value(1.0, 0.9, 1.1)})
    name = f"run-{number}"
    return IndexedRun(
        name, Path(name), "chat", f"2026-01-0{number}", "complete", True, False, cases=(case,)
    )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cases SET measured = '{}' WHERE run = 'run-2'",
        "UPDATE cases SET measured = x'ff41' WHERE run = 'run-2'",
        "UPDATE cases SET measured = x'7b2261223a5b31653430305d7d' WHERE run = 'run-2'",
        "UPDATE cases SET model = 5.5, identity = x'00' WHERE run = 'run-2'",
        "UPDATE runs SET name = x'ff' WHERE id = 'run-2'",
    ],
)
def test_a_damaged_row_of_the_history_costs_itself_only(change: str, tmp_path: Path) -> None:
    import sqlite3

    history = History(tmp_path / "h.sqlite")
    for number in (1, 2, 3):
        history.add(indexed(number))
    assert history.damaged() == []
    db = sqlite3.connect(history.path)
    db.execute(change)
    db.commit()
    db.close()
    assert history.damaged() == ["run-2"]
    assert [r.id for r in history.runs() if r.cases] == ["run-1", "run-3"]
    said = whole_files.call("history", "list", "--history", history.path)[1]
    assert "damaged rows" in said and "run-2" in said and "history rebuild" in said


PIPES: dict[str, Callable[[Path], object]] = {
    "s.yaml": lambda path: load_scenario(str(path)),
    "t.csv": load_trace,
    "p.jsonl": read_prompt_file,
    "run.json": lambda path: read_info(path.parent),
    "h.sqlite": lambda path: History(path).runs(),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_without_a_writer_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with damaged_files.limited(10), pytest.raises((BenchError, ValueError), match="pipe"):
        PIPES[name](tmp_path / name)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_a_pipe_that_the_shell_made_is_read() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"seed: 5\n")
    os.close(writes)
    try:
        assert read_file(Path(f"/dev/fd/{reads}")) == b"seed: 5\n"
    finally:
        os.close(reads)


def test_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        if path.exists():
            with pytest.raises(OSError, match=r"not a file|is a folder"):
                open_file(path)
