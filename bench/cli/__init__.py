"""The command line: one file a command, no logic.

Commands are imported only when they are called, so that `--help` stays fast.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from bench.cli.ending import end_as_interrupted, ignore_signals, was_interrupted
from bench.cli.output import PatientStreams, say
from bench.errors import BenchError, ExitCode, UsageError

COMMANDS = {
    "demo": "Measure a small model on the embedded server: works on any machine.",
    "run": "Run scenarios against an Ollama server.",
    "report": "Render run directories again, in any format.",
    "compare": "Compare runs with a verdict.",
    "ab": "Compare two sides in interleaved pairs of blocks.",
    "plan": "Say what a scenario can detect, and how long that takes.",
    "capacity": "Find the highest load that keeps a promise.",
    "fidelity": "Measure how far quantisations, servers or settings move the answers.",
    "board": "Put many runs of many machines on one page.",
    "bundle": "Pack the evidence of a run or comparison for a bug report.",
    "history": "List, tag and plot earlier runs.",
    "serve": "Run the embedded Ollama-compatible server.",
    "record": "Record what a client asks a server, to play it again.",
    "scenarios": "List, show, check and make scenario files.",
    "models": "List the models of a server, and what they can do.",
    "doctor": "Check this machine and its server for what bends numbers.",
    "help": "Show a document: metrics, exit codes, scenario keys, and how to do things.",
}
"""Command name -> its one line of help, in the order of `--help`. Module: `bench.cli.<name>`."""


_MEASURING = ("demo", "run", "compare", "ab", "capacity", "fidelity")
"""Their exit code says what was found, whatever became of standard output."""


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
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    help="Benchmarks Ollama servers: which model is faster here, how many users this machine "
    "serves, whether an upgrade made it slower.",
)
@click.version_option(package_name="ollama-bench", prog_name="ollama-bench")
def cli() -> None:
    """The root command."""


def main() -> None:
    """Entry point: every error is one message on stderr and its exit code, never a traceback."""
    # Imports make many objects, none garbage: looking among them costs a tenth of the start.
    gc.set_threshold(50_000, 20, 100)
    if sys.argv[1:2] == ["report"]:
        gc.disable()  # nor is what a page is made of: it all lives to the end, which is near
    # pydantic would look through all that is installed for plug-ins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    streams = PatientStreams()
    code = int(ExitCode.INTERRUPTED)
    with suppress(KeyboardInterrupt):
        end_as_interrupted()
        code = _exit_code()
    ignore_signals()  # what is left is over in a moment, and must not be torn
    lost = streams.lost  # flushes
    if lost:
        say(f"ollama-bench: standard output could not be written ({lost}). It lacks:")
        say(streams.dropped.rstrip())
        if sys.argv[1:2] and sys.argv[1] not in _MEASURING:
            code = code or int(ExitCode.USAGE)
    if code == ExitCode.INTERRUPTED:
        # Python would end itself by SIGINT again if the interrupt came while it executed a text
        # (a dataclass was made), and may abort if it left a thread in the middle of something.
        os._exit(code)
    sys.exit(code)


def _exit_code() -> int:
    try:
        _check_folder()
        return int(cli(standalone_mode=False) or ExitCode.OK)
    except BenchError as error:
        say(f"ollama-bench: {error}")
        return int(error.exit_code)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        say(text.getvalue().rstrip())
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return int(ExitCode.INTERRUPTED)
    except SystemExit as ended:
        # click ends the program with 1 when a pipe breaks, whichever: that says "worse".
        if isinstance(ended.__context__, OSError):
            return _defect(ended.__context__)
        return ended.code if isinstance(ended.code, int) else int(ExitCode.USAGE)
    except Exception as error:
        if was_interrupted(error):
            say("ollama-bench: interrupted")
            say("\n".join(getattr(error, "__notes__", ())))
            return int(ExitCode.INTERRUPTED)
        return _defect(error)


def _defect(error: BaseException) -> int:
    from bench.cli.defect import report_defect

    report_defect(error)
    return int(ExitCode.DEFECT)


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise UsageError(
            "the current folder does not exist any more", "Go to another one with cd."
        ) from None
