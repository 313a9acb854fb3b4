"""For all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")


@pytest.fixture(autouse=True)
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to the history of whoever runs it."""
    monkeypatch.setenv("OLLAMA_BENCH_HISTORY", "off")
