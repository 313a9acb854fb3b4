from __future__ import annotations

import pytest

from bench.results.environment import collect_environment


def test_settings_are_ollamas_without_secrets_and_without_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "4")
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "/home/me/history.db")
    settings = collect_environment()["settings"]
    assert settings["OLLAMA_NUM_PARALLEL"] == "4"
    assert not {"OLLAMA_API_KEY", "OLLAMA_BENCH_HISTORY"} & settings.keys()
