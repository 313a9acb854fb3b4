"""`ollama-bench serve`: run the embedded Ollama-compatible server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bench.cli.output import say
from bench.cli.pages import flag, many

if TYPE_CHECKING:
    from bench.server.app import App


@click.command(
    "serve",
    help="Run the embedded Ollama-compatible server: with invented speeds (simulated), or with a "
    "real small model (llama.cpp). What it serves is marked, in its version and in every reply.",
)
@click.option("--engine", default="simulated", metavar="simulated|llama.cpp")
@click.option(
    "--profile",
    default="laptop-cpu",
    metavar="NAME|FILE",
    help="Machine to simulate: laptop-cpu, gpu-12gb, gpu-80gb, test, or a YAML file.",
)
@many(
    "--model",
    "models",
    metavar="[NAME=]GGUF",
    help="Model file for llama.cpp; several are fine. Default: a small model, fetched once.",
)
@click.option("--host", default="127.0.0.1")
@click.option("--port", default=11434, type=click.IntRange(0, 65535), help="0 = any free one.")
@click.option("--num-parallel", type=click.IntRange(1), help="Slots per model.")
@click.option("--max-loaded-models", "max_loaded", default=3, type=click.IntRange(1))
@click.option("--max-queue", default=512, type=click.IntRange(0))
@click.option("--keep-alive", default="5m", help="How long idle models stay.")
@click.option("--num-ctx", type=click.IntRange(4), help="Context length if a request asks none.")
@click.option("--threads", type=click.IntRange(1), help="Threads of llama.cpp.")
@click.option("--ollama-version", default="0.32.15", help="Whose behaviour to play.")
@click.option(
    "--cache-ram",
    default=8192,
    type=click.IntRange(0),
    metavar="MIB",
    help="Host memory for prompts that lost their slot (0.30 and later); 0 = none.",
)
@flag("--multiuser-cache", help="As OLLAMA_MULTIUSER_CACHE (up to 0.24).")
@click.option("--seed", default=0, help="Of jitter and faults.")
@click.option(
    "--truth-log",
    type=click.Path(dir_okay=False),
    help="Write here when what was handed to the socket: JSON lines.",
)
@many(
    "--fault",
    "faults",
    metavar="KIND:NAME=VALUE,...",
    help="Make requests fail, e.g. cut:rate=0.1,after=3. Several are fine.",
)
@click.option(
    "--fault-plan", type=click.Path(dir_okay=False), help="A YAML file that says which fail."
)
def command(**options: Any) -> None:
    """Serve until Ctrl-C."""
    from bench.server.config import ServerConfig
    from bench.server.serving import serve

    config = ServerConfig(**options)
    serve(config, _announce, say=say)
    say("stopped", err=False)


def _announce(app: App, url: str) -> None:
    state = app.state
    address = url.removeprefix("http://")
    names = ", ".join(sorted(state.cards()))
    slots = state.settings.num_parallel
    set_command = "set" if sys.platform == "win32" else "export"
    say(
        f"Embedded server, engine {state.engine.name}: {state.engine.device}\n"
        f"Plays Ollama {state.era.version}; says it is {state.version}\n"
        f"Models: {names}\n"
        f"{slots} slot{'s' if slots > 1 else ''} per model, "
        f"context {state.settings.num_ctx} tokens unless asked otherwise\n"
        f"Listening on {url}\n\n"
        f"  {set_command} OLLAMA_HOST={address}\n\n"
        "Ctrl-C stops it.",
        err=False,
    )
