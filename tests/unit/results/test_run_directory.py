from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import record, run_info

from bench.errors import ResultsError
from bench.ollama.reply_lines import MAX_WHOLE
from bench.results.directory import RunDirectory, find_runs, read_info, read_run
from bench.results.journal import Journal, read_records
from bench.results.record import decode_record, encode_record
from bench.results.run import RunStatus
from bench.wire.exchange import ServerTimings

NOW = datetime(2026, 1, 1, 10, 15, tzinfo=UTC)


def test_run_info_and_records_come_back_as_they_went(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "runs", "my chat/二", NOW)
    assert directory.path.name.startswith("20260101T101500Z-my-chat-二-")
    info = run_info(directory.id)
    directory.write_info(info)
    records = [record(i, server=ServerTimings(eval_count=i)) for i in range(3)]
    with directory.journal() as journal:
        for one in records:
            journal.append(one)
    run = read_run(directory.path)
    assert run.info == info
    assert run.records == records
    assert not run.incomplete
    assert list(find_runs(tmp_path / "runs")) == [directory.path]
    assert run.info.blocks[0].before is not None
    assert run.info.blocks[0].before.gpu_share == 0.5


def test_thresholds_are_text_in_the_file_and_those_of_earlier_versions_are_read(
    tmp_path: Path,
) -> None:
    directory = RunDirectory.create(tmp_path, "run", NOW)
    directory.write_info(run_info(directory.id))
    file = directory.path / "run.json"
    stored = msgspec.json.decode(file.read_bytes())
    assert stored["plan"]["thresholds"] == ["ttft_s.p95 <= 800ms"]
    old = ["decode_tok_per_s >= 1m", "ttft_s.p95 <= 200%", "error_rate <= 1", "gone_s.p50 <= 2"]
    stored["plan"]["thresholds"] = old
    file.write_bytes(msgspec.json.encode(stored))
    read = read_info(directory.path).plan.thresholds
    assert [t.text for t in read] == old
    assert [t.value for t in read] == [60, 2, 1, 2]
    stored["plan"]["thresholds"] = ["nothing like one"]
    file.write_bytes(msgspec.json.encode(stored))
    with pytest.raises(ResultsError, match=r"METRIC OPERATOR VALUE.*thresholds"):
        read_info(directory.path)


def test_absent_counts_stay_absent_and_zero_stays_zero() -> None:
    back = decode_record(encode_record(record(server=ServerTimings(prompt_eval_cached_count=0))))
    assert back.server.prompt_eval_cached_count == 0
    assert back.server.prompt_eval_count is None


def test_any_counter_that_a_reply_is_taken_with_can_be_read_back() -> None:
    for number in (MAX_WHOLE, -MAX_WHOLE):
        one = record(server=ServerTimings(total_duration=number))
        assert decode_record(encode_record(one)) == one


@given(
    st.text(max_size=50),
    st.lists(st.integers(0, 2**60), max_size=20),
    st.one_of(st.none(), st.integers(0, 2**62 - 1)),
)
def test_any_record_survives_its_line(error: str, gaps: list[int], sent: int | None) -> None:
    one = record(error=error, chunk_gaps_ns=gaps, sent_ns=sent)
    line = encode_record(one)
    assert line.count(b"\n") == 1
    assert decode_record(line) == one


def test_unknown_keys_of_a_later_version_are_ignored() -> None:
    line = json.loads(encode_record(record()))
    line["new_in_future"] = 1
    assert decode_record(json.dumps(line).encode()) == record()


def test_a_torn_last_line_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(encode_record(record(0)) + encode_record(record(1))[:40])
    assert read_records(path)[:2] == ([record(0)], 1)


def test_a_killed_writer_loses_nothing_that_had_ended(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from small_runs import record\n"
        "from bench.results.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for i in range(100): journal.append(record(i))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(Path(__file__).parents[2] / "support")
    done = subprocess.run([sys.executable, "-c", code, str(path), here], check=False)
    assert done.returncode == -9
    records, torn, _ = read_records(path)
    assert len(records) == 100
    assert torn == 0


def test_a_run_still_running_or_interrupted_is_incomplete(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "x", NOW)
    directory.write_info(run_info(status=RunStatus.RUNNING))
    run = read_run(directory.path)
    assert run.incomplete
    assert run.records == []


def test_no_draft_is_left_behind(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "x", NOW)
    directory.write_info(run_info())
    directory.write_info(run_info())
    assert [p.name for p in directory.path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a run directory"),
        (b"{", "not a run file"),
        (b"[]", "not a run file"),
        (b'{"schema": 99}', "schema 99"),
        (b'{"schema": 1}', "not a run file"),
    ],
)
def test_what_is_not_a_run_is_refused_by_name(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ResultsError, match=words) as caught:
        read_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nowhere does not exist"):
        read_run(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResultsError, match=r"file, not a folder|cannot write"):
        RunDirectory.create(tmp_path / "runs", "x", NOW)


def test_a_full_disk_is_one_clear_message() -> None:
    journal = Journal(Path("/dev/full"))
    with pytest.raises(ResultsError, match=r"No space left.*\n.*Free some space"):
        journal.append(record())
    journal.close()
