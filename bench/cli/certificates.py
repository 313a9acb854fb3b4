"""Options of the commands that may speak to a server over https."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def certificate_options(command: Command) -> Command:
    """The options that say whom to trust; the command gets `insecure` and `ca_file`."""
    command = click.option(
        "--ca-file", default="", metavar="FILE", help="Certificate authority to trust."
    )(command)
    return click.option("--insecure", is_flag=True, help="Accept any certificate.")(command)
