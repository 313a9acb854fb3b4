"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.capacity.users import UserModel
    from bench.api import FinishedRun, make_plan, run, run_plan
    from bench.comparing import Judging, ab, compare, plan_pairs
    from bench.load.session import Settings
    from bench.results.history import History
    from bench.sides import ab_plan
    from bench.sizing import FoundCapacity, find_capacity
    from bench.what_if import fit_run, study

__version__ = "0.1.0"

__all__ = [
    "FinishedRun",
    "FoundCapacity",
    "History",
    "Judging",
    "Settings",
    "UserModel",
    "__version__",
    "ab",
    "ab_plan",
    "compare",
    "find_capacity",
    "fit_run",
    "make_plan",
    "plan_pairs",
    "run",
    "run_plan",
    "study",
]

_HOMES = {
    "FinishedRun": "bench.api",
    "FoundCapacity": "bench.sizing",
    "History": "bench.results.history",
    "Judging": "bench.comparing",
    "Settings": "bench.load.session",
    "UserModel": "bench.analysis.capacity.users",
    "ab": "bench.comparing",
    "ab_plan": "bench.sides",
    "compare": "bench.comparing",
    "find_capacity": "bench.sizing",
    "fit_run": "bench.what_if",
    "make_plan": "bench.api",
    "plan_pairs": "bench.comparing",
    "run": "bench.api",
    "run_plan": "bench.api",
    "study": "bench.what_if",
}


def __getattr__(name: str) -> object:
    """Public names are imported when they are first used: `import bench` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
