"""The command line: one file a command, no logic.

Commands are imported only when they are called, so that `--help` stays fast.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from bench.errors import BenchError, ExitCode

COMMANDS = {
    "demo": "Measure a small model on the embedded server: works on any machine.",
    "run": "Run scenarios against an Ollama server.",
    "report": "Render run directories again, in any format.",
    "compare": "Compare runs with a verdict.",
    "ab": "Compare two sides in interleaved pairs of blocks.",
    "plan": "Say what a scenario can detect, and how long that takes.",
    "capacity": "Find the highest load that keeps a promise.",
    "history": "List, tag and plot earlier runs.",
    "serve": "Run the embedded Ollama-compatible server.",
    "scenarios": "List, show, check and make scenario files.",
    "models": "List the models of a server, and what they can do.",
    "doctor": "Check this machine and its server for what bends numbers.",
}
"""Command name -> its one line of help, in the order of `--help`. Module: `bench.cli.<name>`."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bench.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmarks Ollama servers: which model is faster here, how many users this machine "
    "serves, whether an upgrade made it slower.",
)
@click.version_option(package_name="ollama-bench", prog_name="ollama-bench")
def cli() -> None:
    """The root command."""


def main() -> None:
    """Entry point: turns every `BenchError` into one message on stderr and its exit code."""
    # Imports make many objects, none garbage: looking among them costs a tenth of the start.
    gc.set_threshold(50_000, 20, 100)
    # pydantic would look through all that is installed for plug-ins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        sys.exit(cli(standalone_mode=False) or ExitCode.OK)
    except BenchError as error:
        click.echo(f"ollama-bench: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(ExitCode.INTERRUPTED)
