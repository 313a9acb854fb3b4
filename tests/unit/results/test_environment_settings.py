from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.results.environment import collect_environment, collect_gpus


def test_settings_are_ollamas_without_secrets_and_without_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "4")
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "/home/me/history.db")
    settings = collect_environment()["settings"]
    assert settings["OLLAMA_NUM_PARALLEL"] == "4"
    assert not {"OLLAMA_API_KEY", "OLLAMA_BENCH_HISTORY"} & settings.keys()


def test_a_machine_that_cannot_be_read_is_described_without_what_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: object, **__: object) -> str:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "read_text", refuses)
    monkeypatch.setattr(os, "getloadavg", refuses, raising=False)
    cpu = collect_environment()["cpu"]
    assert cpu["threads"] >= 1
    assert not {"governor", "load_1m"} & cpu.keys()


@pytest.mark.skipif(os.name == "nt", reason="the tool is a shell script")
def test_a_tool_that_prints_bytes_without_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'Card \\377, 550.1, 24564\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("bench.telemetry.cards.nvidia_cards", lambda: None)
    assert collect_gpus() == [{"name": "Card \ufffd", "driver": "550.1", "memory_mib": "24564"}]
