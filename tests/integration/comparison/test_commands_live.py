"""ab and plan on the command line, with servers that really run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

import bench.simulation.profile
from bench.cli import cli
from bench.commands.comparing import plan_pairs
from bench.errors import UsageError
from bench.results.history import History
from bench.server.embedded import start_server

PROFILE = Path(bench.simulation.profile.__file__).parent / "profiles" / "test.yaml"


@pytest.fixture
def ollama(serve_command, tmp_path: Path) -> Path:
    """An executable that is called as `ollama serve`."""
    program = tmp_path / "ollama"
    program.write_text(f'#!/bin/sh\n[ "$1" = serve ] || exit 9\nexec {" ".join(serve_command)}\n')
    program.chmod(0o755)
    return program


def bench_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def test_ab_starts_a_server_for_each_side(scenario_file, ollama, tmp_path):
    path = scenario_file(load={"closed": {"users": 2, "requests": 6}})
    history = tmp_path / "history.sqlite"
    done = subprocess.run(
        bench_command(
            "ab", path, "--pairs", 6, "-o", tmp_path / "runs", "--primary", "ttft_s.p50",
            "--allow", "invalid", "--a", f"binary={ollama}", "--a", "env.OLLAMA_NUM_PARALLEL=2",
            "--b", f"binary={ollama}", "--b", "env.OLLAMA_NUM_PARALLEL=1",
            "--history", history, "--write", f"junit={tmp_path / 'junit.xml'}",
        ),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stdout.split())
    assert "OLLAMA_NUM_PARALLEL 2 → 1" in said
    assert "Verdict: worse: Time to first text, p50" in said
    (run,) = (tmp_path / "runs").iterdir()
    assert done.stdout.splitlines()[-1] == str(run)
    kept = {f.name for f in run.iterdir()}
    assert {"comparison.html", "comparison.json", "server-1.log", "server-2.log"} <= kept
    comparison = json.loads((run / "comparison.json").read_text())
    assert comparison["exit_code"] == 1
    assert 'failures="1"' in (tmp_path / "junit.xml").read_text()
    assert [r.id for r in History(history).runs()] == [run.name]


def processes_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in line:
                found.append(int(entry.name))
    return found


def test_ctrl_c_keeps_what_was_measured_and_stops_the_servers(scenario_file, ollama, tmp_path):
    process = subprocess.Popen(
        bench_command(
            "ab", scenario_file(), "--pairs", 200, "-o", tmp_path / "runs", "--no-history",
            "--a", f"binary={ollama}", "--b", f"binary={ollama}", "--b", "env.X=1",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("block 3/"):
            break
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (run,) = (tmp_path / "runs").iterdir()
    assert said.splitlines()[-1] == str(run)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    deadline = time.monotonic() + 15
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []


def test_plan_runs_a_pilot_of_a_scenario(scenario_file, tmp_path):
    # Ten times slower: the client's own half millisecond between requests bends no rate.
    profile = YAML(typ="safe").load(PROFILE)
    for model in profile["models"]:
        model["step_ms"] *= 10
    slow = tmp_path / "slow.yaml"
    YAML().dump(profile, slow)
    with start_server(profile=slow) as server:
        result = CliRunner().invoke(
            cli,
            ["plan", str(scenario_file()), "--host", server.url,
             "-o", str(tmp_path / "runs"), "--format", "json",
             "--primary", "decode_tok_per_s", "-q"],
            catch_exceptions=False,
        )  # fmt: skip
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    (decode,) = plan["metrics"]
    assert decode["blocks"] == 6 and 1 <= decode["requests_per_block"] <= 3
    assert plan["pairs"] == 6
    assert plan["seconds"] == pytest.approx(6 * plan["pair_s"])
    (pilot,) = (tmp_path / "runs").iterdir()
    assert plan_pairs(pilot).pairs is not None
    again = CliRunner().invoke(cli, ["plan", str(pilot), "--catch", "1%"], catch_exceptions=False)
    assert "Noise and what it takes" in again.stdout
    chosen = CliRunner().invoke(cli, ["plan", str(pilot), "-m", "other"])
    assert isinstance(chosen.exception, UsageError)
    assert "is measured already" in chosen.exception.message


def test_a_side_that_is_unreachable(scenario_file, tmp_path):
    with start_server(profile="test") as server:
        done = subprocess.run(
            bench_command(
                "ab", scenario_file(), "-o", tmp_path / "runs", "--a", f"host={server.url}",
                "--b", "host=http://127.0.0.1:1", "-q",
            ),
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 6
    assert "127.0.0.1:1" in done.stderr and "Traceback" not in done.stderr
