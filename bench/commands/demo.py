"""The demo: a small model on the embedded server, measured like any other server.

The measuring side does not know that the server is ours: it gets a URL and a scenario.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.load.session import Settings
    from bench.scenario.plan import Plan
    from bench.server.embedded import EmbeddedServer

EngineName = Literal["llama.cpp", "simulated"]

SCENARIO = "demo"
_SLOTS = 2
_PROFILE = "gpu-12gb"
_SIMULATED_MODEL = "llama3.1:8b"


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """The engine that the demo runs on.

    Attributes:
        name: of the engine.
        model: that is measured on it.
        notice: what the console and the report say about it.
    """

    name: EngineName
    model: str
    notice: str


def choose_engine(wanted: Literal["auto", "llama.cpp", "simulated"] = "auto") -> DemoEngine:
    """The engine asked for; `auto` = llama.cpp if it is installed, else the simulated one."""
    from bench.server.llamacpp.engine import INSTALL, installed, require_installed
    from bench.server.llamacpp.models import DEMO_MODEL

    if wanted == "llama.cpp":
        require_installed()
    if wanted != "simulated" and installed():
        return DemoEngine(
            "llama.cpp",
            DEMO_MODEL,
            "Real tokens: SmolLM2-135M on the embedded server's llama.cpp engine, on this "
            f"machine's CPU, {_SLOTS} slots.",
        )
    return DemoEngine(
        "simulated",
        _SIMULATED_MODEL,
        f"SIMULATED: the numbers are invented (profile {_PROFILE}, {_SLOTS} slots). "
        f"For real tokens: {INSTALL}",
    )


@contextmanager
def demo_server(
    engine: DemoEngine, say: Callable[[str], None] | None = None
) -> Iterator[EmbeddedServer]:
    """The embedded server with two slots, in a process of its own, while the body runs."""
    from bench.server.embedded import start_server

    if engine.name == "llama.cpp":
        from bench.server.llamacpp.model_file import find_model

        find_model(say=say)  # here, where its progress can be seen
    with start_server(engine.name, profile=_PROFILE, num_parallel=_SLOTS) as server:
        yield server


def demo_plan(
    engine: DemoEngine, server: EmbeddedServer, settings: Settings, overrides: Sequence[str] = ()
) -> Plan:
    """The demo scenario against a running demo server, with the notice in its description."""
    from bench.commands.run import make_plan
    from bench.scenario.loading import load_scenario

    description = f"{engine.notice.rstrip('.')}. {load_scenario(SCENARIO).description.strip()}"
    return make_plan(
        SCENARIO,
        models=[engine.model],
        hosts=[server.url],
        overrides=[*overrides, f"description={json.dumps(description, ensure_ascii=False)}"],
        settings=settings,
    )
