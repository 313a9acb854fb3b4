"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out.

The public names are those of `__all__`. What measures has an asynchronous twin (`run_async` ...);
the plain functions work in a notebook, too, whose event loop is running. All else is internal and
may change in any version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench._version import __version__

if TYPE_CHECKING:
    from bench.analysis.capacity.users import UserModel as UserModel
    from bench.analysis.comparison.result import Comparison as Comparison
    from bench.analysis.run.summary import Summary as Summary
    from bench.commands.comparing import Judging as Judging
    from bench.commands.comparing import ab as ab
    from bench.commands.comparing import compare as compare
    from bench.commands.comparing import plan_pairs as plan_pairs
    from bench.commands.fidelity import FoundFidelity as FoundFidelity
    from bench.commands.fidelity import fidelity as fidelity
    from bench.commands.fidelity import resume_fidelity as resume_fidelity
    from bench.commands.fitting import fit_run as fit_run
    from bench.commands.run import FinishedRun as FinishedRun
    from bench.commands.run import make_plan as make_plan
    from bench.commands.run import run as run
    from bench.commands.run import run_plan as run_plan
    from bench.commands.sides import ab_plan as ab_plan
    from bench.commands.sizing import FoundCapacity as FoundCapacity
    from bench.commands.sizing import find_capacity as find_capacity
    from bench.commands.twins import ab_async as ab_async
    from bench.commands.twins import fidelity_async as fidelity_async
    from bench.commands.twins import find_capacity_async as find_capacity_async
    from bench.commands.twins import run_async as run_async
    from bench.commands.twins import run_plan_async as run_plan_async
    from bench.commands.what_if import study as study
    from bench.errors import BenchError as BenchError
    from bench.errors import ExitCode as ExitCode
    from bench.load.observer import Observer as Observer
    from bench.load.session import Settings as Settings
    from bench.results.history import History as History
    from bench.scenario.plan import Plan as Plan
    from bench.server.embedded import EmbeddedServer as EmbeddedServer
    from bench.server.embedded import start_server as start_server
    from bench.wire.transports.fake import FakeTransport as FakeTransport
    from bench.wire.transports.fake import ScriptedReply as ScriptedReply

_NAMES = {
    "bench.analysis.capacity.users": "UserModel",
    "bench.analysis.comparison.result": "Comparison",
    "bench.analysis.run.summary": "Summary",
    "bench.commands.comparing": "Judging ab compare plan_pairs",
    "bench.commands.fidelity": "FoundFidelity fidelity resume_fidelity",
    "bench.commands.fitting": "fit_run",
    "bench.commands.run": "FinishedRun make_plan run run_plan",
    "bench.commands.sides": "ab_plan",
    "bench.commands.sizing": "FoundCapacity find_capacity",
    "bench.commands.twins": "ab_async fidelity_async find_capacity_async run_async run_plan_async",
    "bench.commands.what_if": "study",
    "bench.errors": "BenchError ExitCode",
    "bench.load.observer": "Observer",
    "bench.load.session": "Settings",
    "bench.results.history": "History",
    "bench.scenario.plan": "Plan",
    "bench.server.embedded": "EmbeddedServer start_server",
    "bench.wire.transports.fake": "FakeTransport ScriptedReply",
}
"""Module -> the public names that are taken from it when first used: `import bench` stays fast."""

_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_WHERE)]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
