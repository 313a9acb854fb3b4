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

_WHERE = {
    "BenchError": "bench.errors",
    "Comparison": "bench.analysis.comparison.result",
    "EmbeddedServer": "bench.server.embedded",
    "ExitCode": "bench.errors",
    "FakeTransport": "bench.wire.transports.fake",
    "FinishedRun": "bench.commands.run",
    "FoundCapacity": "bench.commands.sizing",
    "FoundFidelity": "bench.commands.fidelity",
    "History": "bench.results.history",
    "Judging": "bench.commands.comparing",
    "Observer": "bench.load.observer",
    "Plan": "bench.scenario.plan",
    "ScriptedReply": "bench.wire.transports.fake",
    "Settings": "bench.load.session",
    "Summary": "bench.analysis.run.summary",
    "UserModel": "bench.analysis.capacity.users",
    "ab": "bench.commands.comparing",
    "ab_async": "bench.commands.twins",
    "ab_plan": "bench.commands.sides",
    "compare": "bench.commands.comparing",
    "fidelity": "bench.commands.fidelity",
    "fidelity_async": "bench.commands.twins",
    "find_capacity": "bench.commands.sizing",
    "find_capacity_async": "bench.commands.twins",
    "fit_run": "bench.commands.fitting",
    "make_plan": "bench.commands.run",
    "plan_pairs": "bench.commands.comparing",
    "resume_fidelity": "bench.commands.fidelity",
    "run": "bench.commands.run",
    "run_async": "bench.commands.twins",
    "run_plan": "bench.commands.run",
    "run_plan_async": "bench.commands.twins",
    "start_server": "bench.server.embedded",
    "study": "bench.commands.what_if",
}
"""Public name -> the module that it comes from when it is first used: `import bench` stays fast."""

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
