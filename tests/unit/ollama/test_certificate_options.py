"""Whoever speaks to a server can say whom to trust: the advice on certificates says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli

COMMANDS = {
    "run": ["{scenario}", "-m", "m", "-o", "{folder}"],
    "ab": ["{scenario}", "-m", "m", "--a", "think=true", "--b", "think=false", "-o", "{folder}"],
    "plan": ["{scenario}", "-m", "m", "-o", "{folder}"],
    "capacity": ["{scenario}", "-m", "m", "--slo", "ttft_s.p95<=2", "-o", "{folder}"],
    "models": [],
    "doctor": [],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_asks_a_server_takes_an_authority(name: str, tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("schema: 1\nname: s\nprompts: {synthetic: {input_tokens: 20}}\n")
    arguments = [word.format(scenario=scenario, folder=tmp_path) for word in COMMANDS[name]]
    missing = str(tmp_path / "none.pem")
    arguments += ["--host", "https://localhost:1", "--insecure", "--ca-file", missing]
    ended = CliRunner(env={"COLUMNS": "500"}).invoke(cli, [name, *arguments])
    assert ended.exit_code != 0
    told = f"{ended.output} {ended.exception}"
    assert f"{missing}: cannot be used as certificate authority" in " ".join(told.split())
