"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.api import FinishedRun, make_plan, run, run_plan
    from bench.load.session import Settings

__version__ = "0.1.0"

__all__ = ["FinishedRun", "Settings", "__version__", "make_plan", "run", "run_plan"]

_HOMES = {
    "FinishedRun": "bench.api",
    "Settings": "bench.load.session",
    "make_plan": "bench.api",
    "run": "bench.api",
    "run_plan": "bench.api",
}


def __getattr__(name: str) -> object:
    """Public names are imported when they are first used: `import bench` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
