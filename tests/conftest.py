"""For all tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to the history of whoever runs it."""
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "off")
