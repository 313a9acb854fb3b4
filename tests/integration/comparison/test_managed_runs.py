"""Runs on servers that are started for them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import bench
from bench.errors import ServerUnreachable, UsageError
from bench.load.observer import Silent
from bench.load.session import Settings
from bench.results.directory import read_info
from bench.results.run import BlockInfo, RunStatus


def target(name: str, command: list[str], **env: str) -> dict:
    return {"name": name, "command": command, "env": env}


def test_a_matrix_over_settings_of_a_server(scenario_file, serve_command, tmp_path):
    path = scenario_file(
        targets=[
            target("one slot", serve_command, OLLAMA_NUM_PARALLEL="1"),
            target("two slots", serve_command, OLLAMA_NUM_PARALLEL="2"),
        ],
    )
    run = bench.run(path, settings=Settings(output=tmp_path / "runs"), report=False)
    assert run.info.status is RunStatus.COMPLETE
    settings = {t.name: t.settings["OLLAMA_NUM_PARALLEL"] for t in run.info.targets}
    assert settings == {"one slot": "1", "two slots": "2"}
    assert len({t.url for t in run.info.targets}) == 2
    assert {c.target: c.requests.ok for c in run.summary.cases} == {"one slot": 6, "two slots": 6}
    logs = [run.path / f"server-{n}.log" for n in (1, 2)]
    assert ["serving with 2 slots" in log.read_text() for log in logs] == [False, True]


def test_one_at_a_time_unloads_the_other_side(scenario_file, serve_command, tmp_path):
    path = scenario_file(
        targets=[target("left", serve_command), target("right", serve_command)], blocks=3
    )
    settings = Settings(output=tmp_path / "runs", one_at_a_time=True)
    run = bench.run(path, settings=settings, report=False)
    switches = sum(
        run.info.plan.case(a.case).target != run.info.plan.case(b.case).target
        for a, b in zip(run.info.blocks, run.info.blocks[1:], strict=False)
    )
    loads = sum(b.load_ns is not None for b in run.info.blocks)
    # Every block after a switch finds its model unloaded, unless it never was loaded before.
    assert loads == switches + 1


class Killer(Silent):
    """Ends a server as soon as some blocks have ended."""

    def __init__(self, pid_file: Path, after: int) -> None:
        self._pid_file = pid_file
        self._after = after

    def block_ended(self, info: BlockInfo) -> None:
        self._after -= 1
        if self._after == 0:
            os.kill(int(self._pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("after", [1, 2])
def test_a_server_that_ends_during_the_run_is_named(scenario_file, serve_command, tmp_path, after):
    """Also after the last block: what failed then failed for no fault of what was measured."""
    pid_file = tmp_path / "pid"
    shell = ["sh", "-c", f'echo $$ > {pid_file}; exec "$@"', "serve", *serve_command]
    path = scenario_file(targets=[target("new", shell)])
    settings = Settings(output=tmp_path / "runs")
    with pytest.raises(ServerUnreachable) as caught:
        bench.run(path, settings=settings, observer=Killer(pid_file, after), report=False)
    assert "target new: the server that was started ended during the run" in caught.value.message
    assert "serving with" in caught.value.message  # the end of its log
    (run,) = (tmp_path / "runs").iterdir()
    assert read_info(run).status is RunStatus.FAILED


def test_a_server_that_does_not_start(scenario_file, tmp_path):
    path = scenario_file(targets=[target("new", ["/no/such/ollama", "serve"])])
    with pytest.raises(UsageError, match="target new: the program /no/such/ollama does not exist"):
        bench.run(path, settings=Settings(output=tmp_path / "runs"), report=False)
    path = scenario_file(targets=[target("new", ["false"])])
    with pytest.raises(ServerUnreachable, match="exit code 1"):
        bench.run(path, settings=Settings(output=tmp_path / "runs"), report=False)
    assert not Path(tmp_path / "runs").exists()
