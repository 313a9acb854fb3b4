"""Output that cannot be written never costs a measurement, and never bends the exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.load.observer import Silent
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.server.embedded import EmbeddedServer

SCENARIO = """
schema: 1
name: written
description: "Ünïcode — 模型 🙂 \\u202e"
prompts: [Hello, "How are you?"]
options: {num_predict: 6}
blocks: 2
warmup: 1
load: {closed: {users: [2], requests: 12}}
"""
MEASURED = 24
LONG = SCENARIO.replace("requests: 12", "requests: 60")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")


@pytest.fixture
def start(tmp_path: Path, simulated: EmbeddedServer) -> Callable[..., subprocess.Popen[bytes]]:
    folder = tmp_path / "here"
    folder.mkdir()

    def begin(
        *more: str, shell: str = "", text: str = SCENARIO, **options: Any
    ) -> subprocess.Popen[bytes]:
        (folder / "written.yaml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "bench", "run", "written.yaml", "-m", "sim-small"]
        command += ["--host", simulated.url, "--no-history", "--no-report", *more]
        environment = {**os.environ, **options.pop("env", {})}
        if shell:
            command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
        for stream in ("stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        return subprocess.Popen(command, cwd=folder, env=environment, **options)

    return begin


def measured(folder: Path) -> int:
    (directory,) = (folder / "here" / "runs").iterdir()
    run = read_run(directory)
    assert run.info.status == "complete"
    assert (directory / "summary.json").stat().st_size > 1000
    return sum(r.phase is Phase.MEASURE for r in run.records)


def code_of(folder: Path) -> int:
    """What the measurement itself says: 5 if this machine was too busy to be trusted."""
    (directory,) = folder.glob("**/runs/*")
    return 0 if json.loads((directory / "summary.json").read_text())["valid"] else 5


def reader_gone() -> int:
    """The end of a pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize(
    "shell",
    ["2>&-", ">&-", ">&- 2>&- <&-", "| head -n 1", "2>&1 | head -n 1", "2>&1 | true"],
)
def test_a_stream_that_is_closed_or_not_read(start, tmp_path: Path, shell: str) -> None:
    process = start(shell="--json " + shell + "; exit ${PIPESTATUS[0]}")
    out, err = process.communicate(timeout=120)
    assert process.returncode == code_of(tmp_path), err
    assert b"Traceback" not in out + err
    assert measured(tmp_path) == MEASURED


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_is_gone(start, tmp_path: Path, stream: str) -> None:
    gone = reader_gone()
    process = start(**{stream: gone})
    os.close(gone)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code_of(tmp_path), err
    assert b"Traceback" not in (out or b"") + (err or b"")
    assert measured(tmp_path) == MEASURED


@needs_full
@pytest.mark.parametrize("shell", [">/dev/full", "2>/dev/full"])
def test_a_full_disk_behind_a_stream(start, tmp_path: Path, shell: str) -> None:
    process = start(shell=shell)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code_of(tmp_path), err
    assert b"Traceback" not in out + err
    assert measured(tmp_path) == MEASURED
    if shell == ">/dev/full":  # the numbers are printed all the same
        said = err.partition(b"standard output could not be written")[2]
        assert b"tok/s" in said and b"runs" in said


@needs_full
def test_a_document_that_did_not_reach_its_file_is_no_success() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "bench", "scenarios", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert b"No space left" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-16"])
def test_an_encoding_that_lacks_characters(start, tmp_path: Path, encoding: str) -> None:
    process = start(env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    out, err = process.communicate(timeout=120)
    assert process.returncode == code_of(tmp_path), err
    assert b"Traceback" not in out + err
    assert "tok/s" in out.decode("ascii" if encoding == "ascii" else encoding)
    assert measured(tmp_path) == MEASURED


def when_measuring(folder: Path, act: Callable[[Path], object], process: Any) -> None:
    """Do something to the run directory once some requests have ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        files = list((folder / "here" / "runs").glob("*/requests.jsonl"))
        if files and files[0].read_bytes().count(b"\n") > 20:
            act(files[0].parent)
            return
        time.sleep(0.01)
    raise AssertionError("it never measured")


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be deleted")
@pytest.mark.parametrize("what", ["run directory", "runs", "working directory"])
def test_a_directory_that_is_deleted_in_the_middle(start, tmp_path: Path, what: str) -> None:
    def delete(directory: Path) -> None:
        parents = {
            "run directory": directory,
            "runs": directory.parent,
            "working directory": directory.parents[1],
        }
        shutil.rmtree(parents[what])

    process = start(text=LONG)
    when_measuring(tmp_path, delete, process)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code_of(tmp_path), err
    assert b"Traceback" not in out + err
    assert b"tok/s" in out
    assert measured(tmp_path) == 120


class Blocker(Silent):
    """Puts folders where the report and the summary are to be written."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent

    def block_ended(self, info: object) -> None:
        (directory,) = self.parent.iterdir()
        for name in ("report.html", "summary.json"):
            (directory / name).mkdir(exist_ok=True)


def test_a_report_and_a_summary_that_cannot_be_written(
    simulated: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli.run import tell, tell_json
    from bench.commands.run import make_plan, run_plan

    file = tmp_path / "written.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    plan = make_plan(file, models=["sim-small"], hosts=[simulated.url])
    settings = bench.Settings(output=tmp_path / "runs", history=None)
    run = run_plan(plan, settings=settings, observer=Blocker(tmp_path / "runs"))
    assert run.exit_code in (0, 5) and run.report is None
    codes = [w.code for w in run.not_written]
    assert codes == ["summary_not_written", "report_not_written"]
    tell(run)
    assert "tok/s" in capsys.readouterr().out
    tell_json([run])
    assert json.loads(capsys.readouterr().out)["cases"][0]["requests"]["ok"] == MEASURED


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_history_that_cannot_be_written_is_always_said(
    tmp_path: Path, simulated: EmbeddedServer, quiet: list[str]
) -> None:
    (tmp_path / "smoke2.yaml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "run", "smoke2.yaml", "-m", "sim-small"),
            *("--host", simulated.url, *quiet, "--no-report"),
        ],
        cwd=tmp_path,
        env={**os.environ, "OLLAMA_BENCH_HISTORY": str(tmp_path / "file" / "history.sqlite")},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code_of(tmp_path), done.stderr
    assert b"history" in done.stderr and b"Traceback" not in done.stderr


def test_json_of_several_scenarios_is_one_document(
    tmp_path: Path, simulated: EmbeddedServer
) -> None:
    for name in ("one", "two"):
        text = SCENARIO.replace("name: written", f"name: {name}")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "run", "one.yaml", "two.yaml", "-m", "sim-small"),
            *("--host", simulated.url, "--no-history", "--no-report", "--json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert [s["name"] for s in json.loads(done.stdout)] == ["one", "two"]


def test_a_folder_does_not_hide_a_shipped_scenario(tmp_path: Path) -> None:
    from bench.scenario.loading import load_scenario

    for name in ("chat", "demo"):
        (tmp_path / name).mkdir()
        assert load_scenario(name, cwd=tmp_path).name == name


def test_a_folder_hides_no_scenario_to_plan_and_no_run_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.commands.stored_runs import is_run, resolve
    from bench.results.history import History, IndexedRun

    monkeypatch.chdir(tmp_path)
    history = History(tmp_path / "history.sqlite")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "run.json").write_text("{}")
    history.add(IndexedRun("r-3f9c", kept, "s", "t", "1", True, False, "f", ("main", "kept")))
    for name in ("chat", "main", "other"):
        (tmp_path / name).mkdir()
    assert not is_run("chat", history)
    assert is_run("kept", history) and is_run("other", history)
    assert resolve("main", history) == kept
    assert resolve("other", history) == Path("other")  # reading it says what is wrong
    assert resolve("kept", history) == Path("kept")


def test_a_defect_has_its_own_code_and_a_file_to_send(tmp_path: Path) -> None:
    program = (
        "import bench.cli, bench.scenario.loading as library\n"
        "def broken(): raise KeyError('planted')\n"
        "import bench.cli.scenarios as scenarios\n"
        "scenarios.scenario_names = broken\n"
        "bench.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "scenarios", "list"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    assert "KeyError: 'planted'" in done.stderr and "Traceback" not in done.stderr
    (file,) = tmp_path.glob("ollama-bench-defect-*.txt")
    assert str(file) in done.stderr
    assert "Traceback" in file.read_text() and "broken" in file.read_text()


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    from bench.files import write_whole

    file = tmp_path / "report.html"
    write_whole(file, "first")
    stop = threading.Event()
    seen = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(file.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for size in (100_000, 300_000, 200_000) * 5:
        write_whole(file, "x" * size)
    stop.set()
    reader.join()
    assert seen <= {5, 100_000, 200_000, 300_000}
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OSError):
        write_whole(tmp_path / "none" / "report.html", "x")


def lossy(way: str, *command: str, folder: Path) -> tuple[int, bytes, bytes]:
    """Exit code and both streams of a command whose standard output takes little or nothing."""
    environment = dict(os.environ)
    if way != "full":
        environment |= {"PYTHONIOENCODING": way, "PYTHONUTF8": "0"}
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "bench", *command],
            cwd=folder,
            env=environment,
            stdout=full if way == "full" else subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=240,
            check=False,
        )
    return done.returncode, done.stdout or b"", done.stderr


@needs_full
@pytest.mark.parametrize("way", ["cp1252", "ascii", "full"])
@pytest.mark.parametrize("command", ["report", "compare"])
def test_pages_of_stored_runs_on_a_lossy_stdout(tmp_path: Path, command: str, way: str) -> None:
    run = str(Path(__file__).parents[2] / "recordings" / "runs" / "0.1.0-second")
    words = {
        "report": ("report", run, "--format", "console"),
        "compare": ("compare", run, run, "--no-history", "--allow", "invalid"),
    }[command]
    code, out, err = lossy(way, *words, folder=tmp_path)
    # A document that reached nobody is no success; a verdict is one, wherever it is printed.
    assert code == {"report": 2 if way == "full" else 0, "compare": 3}[command], err
    assert b"Traceback" not in err and b"defect" not in err
    assert err.count(b"ollama-bench: standard output could not be written") == (way == "full")
    said = err if way == "full" else out
    assert b"tok/s" in said if command == "report" else b"no change" in said
    if way == "ascii":
        assert out.isascii()


@pytest.mark.slow
@needs_full
def test_a_search_for_capacity_on_a_full_stdout(tmp_path: Path, simulated: EmbeddedServer) -> None:
    code, _, err = lossy(
        "full", "capacity", "quickstart", "-m", "sim-small", "--host", simulated.url,
        "--no-history", "--slo", "ttft_s.p90<=5", "--by", "users", "--most", "2",
        "--budget", "20s", folder=tmp_path,
    )  # fmt: skip
    (kept,) = (tmp_path / "runs").iterdir()
    assert (kept / "capacity.html").is_file()
    assert code in (0, 3, 5), err  # what was found, not what became of stdout
    assert b"Traceback" not in err and b"defect" not in err
    said = err.partition(b"standard output could not be written")[2].decode()
    assert said.splitlines()[-2:] == [f"Report: {kept / 'capacity.html'}", str(kept)]
