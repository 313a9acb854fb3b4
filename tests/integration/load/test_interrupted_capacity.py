"""A search for how many sessions a server carries, ended by Ctrl-C or killed: nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.server.embedded import EmbeddedServer

SCENARIO = """
schema: 1
name: talk
models: [sim-small:latest]
options: {num_ctx: 8192, num_predict: 160, temperature: 0}
prompts: {conversation: {turns: 3, first_tokens: 200, turn_tokens: 40, output_tokens: 60, pause: 0}}
load: {closed: {users: 1, sessions: 4}}
warmup: 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_search_over_sessions_keeps_what_it_found(
    simulated: EmbeddedServer, process: Callable[..., Any], tmp_path: Path, sent: signal.Signals
) -> None:
    scenario = tmp_path / "talk.yaml"
    scenario.write_text(SCENARIO)
    asked = [str(scenario), "--by", "sessions", "--slo", "user_turn_s.p90<=1"]
    search = subprocess.Popen(
        [sys.executable, "-m", "bench", "capacity", *asked, "--host", simulated.url],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert search.stderr is not None
    for line in search.stderr:
        if line.startswith("block 3/"):
            break
    os.kill(search.pid, sent)
    said, _ = search.communicate(timeout=60)
    (run,) = (tmp_path / "runs").iterdir()
    records = [json.loads(line) for line in (run / "requests.jsonl").read_text().splitlines()]
    assert {r["block"] for r in records if r["outcome"] == "ok"} >= {0, 1}
    if sent is signal.SIGINT:
        assert search.returncode == 130
        assert said.splitlines()[-1] == str(run)
        result = json.loads((run / "capacity.json").read_text())
        assert result["interrupted"] is True
        assert result["load"] is None
        text = " ".join(said.split())
        assert "was not searched to the end" in text
        assert "the search was interrupted after" in text.lower()
        assert "--budget" not in text
    shown = process("report", str(run), "--format", "markdown")
    assert shown.returncode == 0
    assert "sim-small" in shown.stdout
