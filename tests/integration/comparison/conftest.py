"""Scenarios and servers for comparisons."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# `ollama serve` as far as a managed server is concerned: its address and slots come from variables.
SERVE = """
import os, signal, sys, time
from bench.server.embedded import start_server
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with start_server(
    profile=os.environ.get("PROFILE", "test"),
    port=int(os.environ["OLLAMA_HOST"].rsplit(":", 1)[1]),
    num_parallel=int(os.environ.get("OLLAMA_NUM_PARALLEL", "1")),
):
    print("serving with", os.environ.get("OLLAMA_NUM_PARALLEL"), "slots", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def serve_command(tmp_path: Path) -> list[str]:
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    return [sys.executable, str(script)]


@pytest.fixture
def scenario_file(tmp_path: Path) -> Callable[..., Path]:
    """A small scenario; keyword arguments take the place of its keys."""

    def write(**keys: Any) -> Path:
        scenario = {
            "name": "tiny",
            "models": ["sim-small"],
            "options": {"num_predict": 20, "num_ctx": 2048, "repeat_penalty": 1.0},
            "prompts": {"inline": ["Count to a hundred.", "Tell me about the sea."]},
            "load": {"closed": {"users": 1, "requests": 3}},
            "warmup": 1,
            "blocks": 2,
        } | keys
        path = tmp_path / f"{scenario['name']}.yaml"
        path.write_text(json.dumps(scenario))  # JSON is YAML
        return path

    return write
