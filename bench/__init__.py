"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.api import FinishedRun, make_plan, run, run_plan
    from bench.load.session import Settings

try:
    __version__ = version("ollama-bench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

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
