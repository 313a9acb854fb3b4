"""The index of finished runs."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import ResultsError
from bench.results.history import History, IndexedCase, IndexedRun, Value
from bench.results.history_file import default_history


def run(run_id: str, *, decode: float = 50.0, day: int = 1, **more) -> IndexedRun:
    identity = more.pop("identity", "same")
    version = more.pop("version", "0.32.15")
    case = IndexedCase(
        "m, users=1", identity, version, "m", {"decode_tok_per_s": Value(decode, 49.0, None)}
    )
    known = {"path": Path("/runs") / run_id, "status": "complete", "valid": True} | more
    return IndexedRun(
        id=run_id,
        name="chat",
        created_at=f"2026-01-{day:02}T10:00:00+00:00",
        simulated=False,
        cases=(case,),
        **known,
    )


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "deep" / "history.sqlite")


def test_what_is_added_comes_back_oldest_first(history):
    history.add(run("second", day=2, tags=("b", "a")))
    history.add(run("first", day=1))
    first, second = history.runs()
    assert first == run("first", day=1)
    assert second == run("second", day=2, tags=("a", "b"))


def test_without_a_file_there_is_nothing_and_none_is_made(history):
    assert history.runs() == []
    assert history.sessions("same") == []
    assert not history.path.exists()


def test_a_run_with_a_damaged_row_is_no_session(history):
    history.add(run("good", day=1))
    history.add(run("spoilt", day=2))
    with sqlite3.connect(history.path) as db:
        db.execute("UPDATE runs SET created_at = x'fffe' WHERE id = 'spoilt'")
    db.close()
    assert [session.run for session in history.sessions("same")] == ["good"]
    assert history.left_out("same") == ["spoilt (damaged)"]


def test_a_path_that_is_too_long_is_one_message(tmp_path):
    history = History(tmp_path / ("h" * 300))
    for use in (history.runs, history.check):
        with pytest.raises(ResultsError, match="too long"):
            use()


def test_indexing_again_replaces_but_keeps_tags(history):
    history.add(run("one"))
    history.tag("one", ["good"])
    history.add(run("one", decode=40.0))
    (only,) = history.runs()
    assert only.tags == ("good",)
    assert only.cases[0].values["decode_tok_per_s"].value == 40.0


def test_tags_come_and_go(history):
    history.add(run("one"))
    history.tag("one", ["a", "b"])
    history.tag("one", ["c"], ["a"])
    assert history.get("one").tags == ("b", "c")


def test_a_forgotten_run_is_gone(history):
    history.add(run("one", tags=("x",)))
    history.add(run("two"))
    history.remove("one")
    assert [r.id for r in history.runs()] == ["two"]
    assert [s.run for s in history.sessions("same")] == ["two"]
    with pytest.raises(ResultsError, match="no run called 'one'"):
        history.remove("one")


def test_find(history):
    history.add(run("20260101T100000Z-chat-3f9c", day=1, tags=("base",)))
    history.add(run("20260102T100000Z-chat-77aa", day=2, tags=("base",)))
    assert history.find("20260101T100000Z-chat-3f9c").id.endswith("3f9c")
    assert history.find("3f9c").id.endswith("3f9c")
    assert history.find("base").id.endswith("77aa")  # the newest of a tag
    with pytest.raises(ResultsError, match="'chat' could mean 2 runs"):
        history.find("chat")
    with pytest.raises(ResultsError, match=r"no run called 'bsae'.*") as caught:
        history.find("bsae")
    assert "Did you mean: base?" in str(caught.value)
    with pytest.raises(ResultsError):
        history.find("9c")  # too short to be a part of an id


def test_sessions_are_of_one_identity_valid_and_complete(history):
    history.add(run("late", decode=3.0, day=9))
    history.add(run("early", decode=1.0, day=1))
    history.add(run("other version", decode=2.0, day=2, version="0.24.0"))
    history.add(run("other thing", identity="other"))
    history.add(run("invalid", valid=False))
    history.add(run("interrupted", status="interrupted"))
    assert [s.run for s in history.sessions("same")] == ["early", "other version", "late"]
    assert [s.run for s in history.sessions("same", "0.32.15")] == ["early", "late"]


def test_a_later_schema_is_refused(history):
    history.add(run("one"))
    with sqlite3.connect(history.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for act in (history.runs, lambda: history.add(run("two"))):
        with pytest.raises(ResultsError, match="has schema 99"):
            act()


def _database(path: Path, version: int, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in (*statements, f"PRAGMA user_version = {version}"):
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: _database(path, 0, "CREATE TABLE notes (x)"), "of another program"),
        (lambda path: _database(path, 0, "CREATE TABLE runs (x)"), "of another program"),
        (lambda path: _database(path, 1, "CREATE TABLE notes (x)"), "of another program"),
        (lambda path: _database(path, 7, "CREATE TABLE runs (x)"), "of another program"),
        (lambda path: path.write_text("hello " * 100), "is not a database"),
        (lambda path: path.write_text("short"), "is not a database"),
    ],
)
def test_what_is_no_history_is_told_and_left_as_it_is(tmp_path, make, said):
    path = tmp_path / "theirs"
    make(path)
    before = path.read_bytes()
    history = History(path)
    for act in (history.runs, history.check, lambda: history.add(run("two"))):
        with pytest.raises(ResultsError, match=said) as caught:
            act()
        assert "It is left as it is" in caught.value.advice
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_or_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(ResultsError, match="is a directory"):
        History(tmp_path).runs()
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"cannot use the history .*: (Not a dir|File exists)"):
        History(tmp_path / "file" / "below").add(run("one"))


def test_an_empty_file_becomes_a_history(tmp_path):
    path = tmp_path / "new"
    path.touch()
    history = History(path)
    assert history.runs() == []
    history.add(run("one"))
    assert [r.id for r in history.runs()] == ["one"]


def test_a_history_of_the_first_days_had_no_mark(history):
    history.add(run("one"))
    _database(history.path, 1, "PRAGMA application_id = 0")
    history.add(run("two"))
    assert [r.id for r in history.runs()] == ["one", "two"]


def _add_many(path: Path, writer: int) -> None:
    history = History(path)
    for n in range(10):
        history.add(replace(run(f"w{writer}-{n}"), tags=(f"t{writer}",)))


@pytest.mark.slow
def test_several_writers_at_once_lose_nothing(history):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(history.path, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    runs = history.runs()
    assert {r.id for r in runs} == {f"w{w}-{n}" for w in range(3) for n in range(10)}
    assert all(len(r.cases) == 1 and len(r.tags) == 1 for r in runs)


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "off")
    assert default_history() is None
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", str(tmp_path / "mine.sqlite"))
    assert default_history() == tmp_path / "mine.sqlite"
    monkeypatch.delenv("OLLAMA_BENCH_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if os.name == "posix":
        assert "ollama-bench" in str(default_history())
