from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ResultsError
from bench.ollama.exchange import Outcome, ServerTimings
from bench.results.directory import RunDirectory, find_runs, read_run
from bench.results.journal import Journal, read_records
from bench.results.record import Phase, RequestRecord, decode_record, encode_record
from bench.results.run import BlockInfo, ClockInfo, Residency, RunInfo, RunStatus
from bench.scenario.plan import Arrivals, Block, Case, Load, Plan, PromptSpec, Target

NOW = datetime(2026, 1, 1, 10, 15, tzinfo=UTC)


def record(index: int = 0, **changes: object) -> RequestRecord:
    base = RequestRecord(
        case="c",
        block=0,
        index=index,
        phase=Phase.MEASURE,
        outcome=Outcome.OK,
        model="模型:7b",
        stream=True,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def run_info(run_id: str = "r", status: RunStatus = RunStatus.COMPLETE) -> RunInfo:
    case = Case(
        id="m, rate=2",
        axes={"model": "m"},
        target="default",
        model="m",
        endpoint="chat",
        stream=True,
        options={"num_ctx": 4096, "stop": ["x"]},
        think="low",
        keep_alive=-1,
        prompts=PromptSpec(inline=("hello",)),
        load=Load("open", rate_per_s=2.0, arrivals=Arrivals("gamma", 3.0), duration_s=10.0),
        warmup=3,
        format={"type": "object"},
    )
    plan = Plan(
        name="n",
        description="",
        tags=("t",),
        source="s",
        scenario={"a": [1, None]},
        targets=(Target("default", "http://127.0.0.1:11434"),),
        cases=(case,),
        blocks=(Block(0, case.id, 0, 7),),
        seed=1,
        salt=2,
    )
    block = BlockInfo(0, case.id, 0, 10, 2, 9, before=Residency(True, size_bytes=4, vram_bytes=2))
    return RunInfo(
        id=run_id,
        status=status,
        tool_version="1",
        created_at="2026-01-01T10:15:00Z",
        clock=ClockInfo(5, "2026-01-01T10:15:00Z"),
        plan=plan,
        blocks=(block,),
    )


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


def test_absent_counts_stay_absent_and_zero_stays_zero() -> None:
    back = decode_record(encode_record(record(server=ServerTimings(prompt_eval_cached_count=0))))
    assert back.server.prompt_eval_cached_count == 0
    assert back.server.prompt_eval_count is None


@given(
    st.text(max_size=50),
    st.lists(st.integers(0, 2**60), max_size=20),
    st.one_of(st.none(), st.integers(0, 2**62)),
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
    assert read_records(path) == ([record(0)], 1)


def test_a_killed_writer_loses_nothing_that_had_ended(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_run_directory import record\n"
        "from bench.results.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for i in range(100): journal.append(record(i))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, str(path), here], check=False)
    assert done.returncode == -9
    records, torn = read_records(path)
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
