from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.server.embedded import EmbeddedServer, start_server


@pytest.fixture(scope="session")
def simulated() -> Iterator[EmbeddedServer]:
    """The embedded server with the simulated engine: two slots, a fast model."""
    with start_server(profile="test", num_parallel=2) as server:
        yield server


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    """Runs `ollama-bench` as users do, in an empty folder."""

    def run(*arguments: str, host: str = "127.0.0.1:1", **options: Any) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "OLLAMA_HOST": host, "COLUMNS": "200"},
            **options,
        )

    return run
