"""Whole runs of the command against the embedded server, over real HTTP."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

import pytest

import bench
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.server.embedded import start_server
from bench.telemetry import bandwidth
from bench.wire.exchange import Outcome

SLACK_NS, SLACK_AT_WORST_NS = 50_000_000, 2_000_000_000
"""A busy machine may hold the server up between its log line and the socket."""

LONG_ANSWERS = "options.num_predict=160"
"""Beside short ones a busy machine's own delays make a run invalid."""
LONG = ("--set", "load.closed.requests=100000", "--set", "load.closed.users=2")


def measured(run):
    return [r for r in run.records if r.phase is Phase.MEASURE]


def test_a_run_leaves_a_whole_directory_and_prints_its_path_last(process, simulated, tmp_path):
    long = ("--set", LONG_ANSWERS)
    done = process("run", "smoke", "-m", "sim-small", *long, host=simulated.url)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    assert {p.name for p in folder.iterdir()} == {
        "run.json",
        "requests.jsonl",
        "summary.json",
        "report.html",
    }
    run = read_run(folder)
    assert not run.incomplete
    assert run.info.simulated
    assert run.info.environment["cpu"]
    assert run.info.transport.name
    [block] = run.info.blocks
    assert block.after.loaded and block.after.served_context
    assert len(measured(run)) == 5
    assert {r.outcome for r in run.records} == {Outcome.OK}


def test_json_puts_the_summary_and_nothing_else_on_stdout(process, simulated):
    done = process("run", "smoke", "-m", "sim-small", "--json", host=simulated.url)
    summary = json.loads(done.stdout)
    assert summary["simulated"] is True
    assert summary["cases"][0]["requests"]["ok"] == 5
    assert "smoke" in done.stderr


def test_quiet_says_the_path_only(command, simulated):
    done = command("run", "smoke", "-m", "sim-small", "-q", "--no-report", host=simulated.url)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_dry_run_asks_nobody_and_writes_nothing(command, tmp_path):
    done = command("run", "smoke", "-m", "sim-small", "--dry-run")
    assert done.returncode == 0
    assert "5 requests" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_failed_threshold_is_exit_code_1(command, simulated, tmp_path):
    file = tmp_path / "strict.yaml"
    file.write_text(
        "schema: 1\nprompts: [Hello]\noptions: {num_predict: 160}\nblocks: 1\n"
        "load: {closed: {users: [1], requests: 20}}\nthresholds: ['ttft_s.p50 <= 0.0000001']\n"
    )
    done = command("run", "strict.yaml", "-m", "sim-small", "-q", "--no-report", host=simulated.url)
    assert done.returncode == 1, done.stderr


def test_a_threshold_that_needs_more_requests_is_exit_code_3(command, simulated, tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text(
        "schema: 1\nprompts: [Hello]\noptions: {num_predict: 160}\nblocks: 1\n"
        "load: {closed: {users: [1], requests: 20}}\nthresholds: ['ttft_s.p95 <= 60']\n"
    )
    done = command("run", "short.yaml", "-m", "sim-small", "-q", "--no-report", host=simulated.url)
    assert done.returncode == 3, done.stderr


def test_several_scenarios_make_several_runs(command, simulated):
    arguments = ("run", "smoke", "smoke", "-m", "sim-small", "-q", "--no-report")
    done = command(*arguments, host=simulated.url)
    assert len(set(done.stdout.splitlines())) == 2


def test_the_python_api_does_the_same(simulated, tmp_path):
    run = bench.run(
        "smoke",
        models=["sim-small"],
        hosts=[simulated.url],
        overrides=[LONG_ANSWERS],
        settings=bench.Settings(output=tmp_path),
        report=False,
    )
    assert run.exit_code == 0
    assert run.summary.cases[0].requests.ok == 5
    assert run.path.parent == tmp_path


def test_the_clients_times_agree_with_the_servers_own_log(simulated, tmp_path):
    """TTFT and end as this client saw them against the moments the server wrote them."""
    before = len(simulated.truth)
    run = bench.run(
        "smoke",
        models=["sim-small"],
        hosts=[simulated.url],
        overrides=["load.closed.requests=20", "options.num_predict=12"],
        settings=bench.Settings(output=tmp_path),
        report=False,
    )
    records = read_run(run.path).records
    origin = run.info.clock.monotonic_origin_ns
    answers = [t for t in simulated.truth[before:] if len(t.line_sent_ns) > 3]
    assert len(answers) == len(records)
    late = []
    for record, truth in zip(
        sorted(records, key=lambda r: r.sent_ns),
        sorted(answers, key=lambda t: t.received_ns),
        strict=True,
    ):
        assert record.sent_ns + origin <= truth.received_ns
        assert record.chunks == len(truth.line_sent_ns)
        late.append(record.first_answer_ns + origin - truth.line_sent_ns[0])
        late.append(record.end_ns + origin - truth.line_sent_ns[-1])
        assert record.server.eval_count == truth.metrics["eval_count"]
    assert min(late) >= 0
    assert statistics.median(late) < SLACK_NS
    assert max(late) < SLACK_AT_WORST_NS


@pytest.fixture
def started(simulated, tmp_path):
    """A long run in a process of its own that is already measuring."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "smoke", "-m", "sim-small", *LONG],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OLLAMA_HOST": simulated.url},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = [f.read_text().count('"measure"') for f in tmp_path.glob("runs/*/requests.jsonl")]
        if lines and lines[0] >= 5:
            break
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_ctrl_c_ends_the_run_with_its_report_and_code_130(started, tmp_path):
    started.send_signal(signal.SIGINT)
    stdout, stderr = started.communicate(timeout=60)
    assert started.returncode == 130, stderr
    assert "Traceback" not in stderr
    folder = tmp_path / stdout.splitlines()[-1]
    assert (folder / "report.html").stat().st_size > 1000
    run = read_run(folder)
    assert run.info.status == "interrupted"
    assert {r.outcome for r in run.records} == {Outcome.OK}


def test_a_kill_leaves_a_directory_that_can_still_be_told(started, tmp_path, command):
    started.kill()
    started.wait()
    [folder] = tmp_path.glob("runs/*")
    run = read_run(folder)
    assert run.incomplete and run.info.status == "running"
    assert len(measured(run)) >= 5
    done = command("report", str(folder), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert any(w["code"] == "incomplete" for w in json.loads(done.stdout)["warnings"])


def test_models_and_doctor(command, simulated, monkeypatch):
    listed = command("models", "--host", simulated.url)
    assert "sim-small:latest" in listed.stdout and "Q4_K_M" in listed.stdout
    rows = json.loads(command("models", "--host", simulated.url, "--json").stdout)
    assert {r["model"] for r in rows} == set(simulated.models)
    fine = command("doctor", "--host", simulated.url)
    assert fine.returncode == 0 and "simulated" in fine.stdout
    # Reading memory takes as long as all else here together, and says nothing of the server.
    monkeypatch.setattr(bandwidth, "measure_read_speed", lambda: [bandwidth.ReadSpeed(1, 1e10, 0)])
    dead = command("doctor", "--host", "127.0.0.1:1")
    assert dead.returncode == 6 and "ollama serve" in dead.stdout
    assert "Traceback" not in dead.stderr


def test_ctrl_c_while_a_server_does_not_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench", "run", "smoke", "-m", "m"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{mute.getsockname()[1]}"},
        )
        mute.settimeout(60)
        connection, _ = mute.accept()
        connection.recv(100)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert stdout == "" and list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_report_is_written_says_where_the_run_is(simulated, tmp_path, monkeypatch):
    from bench.commands import run as command_run
    from bench.errors import ExitCode, Interrupted
    from bench.load.session import Settings

    def interrupted(directory, report):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_run, "conclude", interrupted)
    settings = Settings(output=tmp_path, history=None)
    with pytest.raises(Interrupted) as caught:
        command_run.run(
            "smoke", models=["sim-small:latest"], hosts=[simulated.url], settings=settings
        )
    [kept] = tmp_path.iterdir()
    assert str(kept) in caught.value.message and str(kept) in caught.value.advice
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert (kept / "requests.jsonl").read_text().count("\n") >= 5


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_secret_is_kept_or_shown(command, simulated, tmp_path, monkeypatch, workers):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login bob password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in ("", "hunter2-token"):
        monkeypatch.setenv("OLLAMA_BENCH_TOKEN", token)
        monkeypatch.setenv("OLLAMA_BENCH_HISTORY", str(tmp_path / "kept" / "history.sqlite"))
        arguments = ("run", "smoke", "-m", "sim-small", "-o", "kept", "--workers", workers)
        done = command(*arguments, "--keep-text", host=simulated.url)
        assert done.returncode == 0, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    packed = base64.b64encode(b"bob:hunter2")
    files = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert {"run.json", "requests.jsonl", "history.sqlite"} <= {file.name for file in files}
    for file in files:
        assert not any(word in file.read_bytes() for word in (b"hunter2", packed)), file


def test_ctrl_c_while_the_loop_is_let_go_of_changes_nothing(simulated, tmp_path, monkeypatch):
    """The third of three quick ones: all is stored by then, and the report is still to come."""
    from bench.commands import run as command_run

    measuring = command_run.run_measuring

    def and_once_more(main):
        ended = measuring(main)
        os.kill(os.getpid(), signal.SIGINT)
        return ended

    monkeypatch.setattr(command_run, "run_measuring", and_once_more)
    done = command_run.run(
        "smoke",
        models=["sim-small"],
        hosts=[simulated.url],
        settings=bench.Settings(output=tmp_path, history=None),
        report=False,
    )
    assert done.exit_code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_runner_that_died_in_the_warm_up_is_named(command, tmp_path):
    """The second of three warm-up requests: its stream ends with what Ollama says then."""
    (tmp_path / "three.yaml").write_text(
        "schema: 1\nprompts: [Hello]\noptions: {num_predict: 20}\nblocks: 1\nwarmup: 3\n"
        "load: {closed: {users: [1], requests: 5}}\n"
    )
    with start_server(profile="test", faults=["error_line:requests=2,after=1"]) as server:
        done = command("run", "three.yaml", "-m", "sim-small", "-q", "--no-report", host=server.url)
    run = read_run(tmp_path / done.stdout.splitlines()[-1])
    [warning] = [w for w in run.info.warnings if w.code == "warm_up_failed"]
    assert "1 of 3 warm-up requests failed" in warning.message
    assert "unexpected EOF" in warning.message and "runner had died" in warning.advice
    assert warning.message in run.info.blocks[0].notes
    assert {r.outcome for r in measured(run)} == {Outcome.OK}
