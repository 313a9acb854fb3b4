"""Loads and warm requests are told apart by what each era's warm requests cost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from honest_runs import ERAS, Engine

from bench.load.findings import reload_limit_s
from bench.ollama.eras import era_of

RECORDINGS = Path(__file__).parents[2] / "recordings"
VERSIONS = ("0.12.11", "0.24.0", "0.32.15")
LOADED = {
    "chat-after-runner-killed",
    "chat-cold-load",
    "chat-keep-alive-forever",
    "embed",
    "gemma-chat-switches-model",
    "chat-long-prompt-truncated",
    "chat-one-token-nonstream",
    "chat-reload-num-ctx",
    "thinking-chat-stream",
}
"""Recorded exchanges for which the model was loaded: the first with other options, another model,
or after its runner was gone."""


def recorded_loads(version: str) -> dict[str, float]:
    """load_duration, in seconds, of the exchanges that were alone on the server."""
    found = {}
    for file in (RECORDINGS / f"ollama-{version}").glob("*.json"):
        text = file.read_text()
        loads = re.findall(r'load_duration\\*":(\d+)', text)
        if len(loads) == 1 and isinstance(json.loads(text), dict):
            found[file.stem] = int(loads[0]) / 1e9
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_loads_are_seen_among_recorded_warm_requests(version: str) -> None:
    loads = recorded_loads(version)
    warm = [s for name, s in loads.items() if name not in LOADED]
    cold = [s for name, s in loads.items() if name in LOADED]
    assert len(warm) >= 20 and len(cold) >= 6
    limit = reload_limit_s(era_of(version), 1, [*warm, min(cold)])
    assert max(warm) < limit < min(cold)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_requests_that_came_together_are_no_reload(version: str) -> None:
    text = (RECORDINGS / f"ollama-{version}" / "parallel-4-six-chats.json").read_text()
    loads = [int(ns) / 1e9 for ns in re.findall(r'load_duration\\*":(\d+)', text)]
    assert len(loads) == 6
    assert max(loads) < reload_limit_s(era_of(version), 6, loads)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("users", [1, 6])
def test_honest_warm_requests_are_rarely_called_a_reload(era: str, users: int) -> None:
    """1,000 honest blocks an era: warm loads with a heavy tail, those of several users up to six
    times as long, as the recordings show."""
    engine: Engine = ERAS[era]
    rng = np.random.default_rng([users, len(era)])
    alarms = 0
    for _ in range(1_000):
        requests = int(rng.integers(5, 60))
        loads = rng.uniform(*engine.load) * rng.lognormal(0, 0.3, requests)
        if users > 1:
            loads *= rng.uniform(1, users, requests)
        limit = reload_limit_s(era_of(engine.version, engine.format), users, loads.tolist())
        alarms += bool((loads > limit).any())
    assert alarms <= 1
