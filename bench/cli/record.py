"""`ollama-bench record`: a proxy that writes real sessions for replay."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from bench.cli.output import echo, say
from bench.cli.pages import flag

if TYPE_CHECKING:
    from bench.recorder.writing import Tally


@click.command(
    "record",
    help="Record what a client asks an Ollama server, to play it again: a proxy on this machine "
    "that passes everything on as it is. Point the client to it, work, and end it with Ctrl-C. "
    "Headers and keys are never written; what was said is, unless --no-text.",
)
@click.option(
    "--to", metavar="URL", help="The server. Default: OLLAMA_HOST, else http://127.0.0.1:11434."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="File to write. Default: sessions-DATE-TIME.jsonl.",
)
@click.option("--port", default=11435, type=click.IntRange(0, 65535), help="0 = any free one.")
@flag("--no-text", help="Keep token counts and hashes only: enough to replay lengths and prefixes.")
def command(to: str | None, output: str | None, port: int, no_text: bool) -> None:
    """Record until Ctrl-C."""
    from bench.commands.record import record

    path = output or f"sessions-{datetime.now():%Y%m%d-%H%M%S}.jsonl"

    def announce(url: str, target: str) -> None:
        _announce(url, target, path, no_text)

    tally = record(path, to=to, port=port, text=not no_text, announce=announce, failed=_failed)
    say(_summary(tally))
    if tally.requests:
        echo(f"{path}\n")


def _announce(url: str, target: str, path: str, no_text: bool) -> None:
    set_command = "set" if sys.platform == "win32" else "export"
    kept = "token counts and hashes" if no_text else "what is asked and answered"
    say(
        f"Passing on to {target}, writing {kept} to {path}\n"
        f"Listening on {url}\n\n"
        f"  {set_command} OLLAMA_HOST={url.removeprefix('http://')}\n"
        f"  OpenAI clients: base URL {url}/v1\n\n"
        "Ctrl-C ends it."
    )


def _failed(message: str) -> None:
    say(f"warning: {message}. Clients get status 502 until it answers.")


def _summary(tally: Tally) -> str:
    from bench.report.units import plural

    lines = ["Nothing was recorded."]
    if tally.requests:
        sessions = plural(tally.sessions, "session")
        lines = [f"Recorded {plural(tally.requests, 'request')} in {sessions}."]
    if tally.cut:
        lines.append(f"{tally.cut:,} of them were cut short (somebody left, or an error came).")
    if tally.passed:
        lines.append(f"{tally.passed:,} more passed that were no chats.")
    if tally.lost:
        why = f" ({tally.error})" if tally.error else " (they came faster than they can be written)"
        lines.append(f"warning: {tally.lost:,} could not be written{why}.")
    return "\n".join(lines)
