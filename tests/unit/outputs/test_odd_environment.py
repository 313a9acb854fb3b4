"""Odd variables of the environment; many more are in `tests/performance/odd_surroundings.py`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import runs
import whole_files
from odd_environment import try_environments

from bench.server.embedded import start_server


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
def test_no_variable_breaks_a_command(tmp_path: Path) -> None:
    def write_run(folder: Path, number: int) -> Path:
        return runs.write_run(folder, replace(runs.Workload(), seed=number, requests=4, blocks=2))

    whole = whole_files.made_whole(tmp_path, write_run)
    os.mkfifo(whole / "pipe")
    (whole / "file").write_text("text")
    with start_server(profile="test") as server:
        figures = try_environments(whole, server.url, 64, seed=1)
    assert figures.failed == []
