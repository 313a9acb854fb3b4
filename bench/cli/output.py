"""What is printed as a result, for a reader who may stop reading (`| head`).

That changes nothing of what was found, so it must not change the exit code: rich would end the
program with 1, which says "worse".
"""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console


class Output(Console):
    """Standard output."""

    def __init__(self) -> None:
        super().__init__(file=sys.stdout)

    def on_broken_pipe(self) -> None:
        """Nobody reads on: print the rest nowhere."""
        self.quiet = True
        _print_nowhere()


def echo(text: str) -> None:
    """Text on standard output, as it is."""
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        _print_nowhere()


def _print_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
