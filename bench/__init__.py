"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.capacity.users import UserModel
    from bench.commands.comparing import Judging, ab, compare, plan_pairs
    from bench.commands.fitting import fit_run
    from bench.commands.run import FinishedRun, make_plan, run, run_plan
    from bench.commands.sides import ab_plan
    from bench.commands.sizing import FoundCapacity, find_capacity
    from bench.commands.what_if import study
    from bench.load.session import Settings
    from bench.results.history import History

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
    "FinishedRun": "bench.commands.run",
    "FoundCapacity": "bench.commands.sizing",
    "History": "bench.results.history",
    "Judging": "bench.commands.comparing",
    "Settings": "bench.load.session",
    "UserModel": "bench.analysis.capacity.users",
    "ab": "bench.commands.comparing",
    "ab_plan": "bench.commands.sides",
    "compare": "bench.commands.comparing",
    "find_capacity": "bench.commands.sizing",
    "fit_run": "bench.commands.fitting",
    "make_plan": "bench.commands.run",
    "plan_pairs": "bench.commands.comparing",
    "run": "bench.commands.run",
    "run_plan": "bench.commands.run",
    "study": "bench.commands.what_if",
}


def __getattr__(name: str) -> object:
    """Public names are imported when they are first used: `import bench` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
