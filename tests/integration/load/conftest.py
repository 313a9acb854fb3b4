from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from in_process import run_command

from bench.server.embedded import EmbeddedServer, start_server


@pytest.fixture(scope="session")
def simulated() -> Iterator[EmbeddedServer]:
    """The embedded server with the simulated engine: two slots, a fast model."""
    with start_server(profile="test", num_parallel=2) as server:
        yield server


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    """Runs `ollama-bench` in an empty folder, in this process."""

    def run(*arguments: str, host: str = "127.0.0.1:1") -> Any:
        return run_command(arguments, tmp_path, {"OLLAMA_HOST": host, "COLUMNS": "200"})

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Any]:
    """Runs `ollama-bench` as users do, in an empty folder."""

    def run(
        *arguments: str,
        host: str = "127.0.0.1:1",
        environment: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "OLLAMA_HOST": host, "COLUMNS": "200", **environment},
            **options,
        )

    return run
