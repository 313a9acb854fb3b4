"""The same options exist, and mean the same, in every command that measures."""

from __future__ import annotations

import click
import pytest

from bench.cli import ab, capacity, plan, run

COMMANDS = {
    "run": run.command,
    "ab": ab.command,
    "plan": plan.command,
    "capacity": capacity.search,
}
OURS = (
    *("--model", "--host", "--set", "--seed", "--output", "--dry-run", "--quiet", "--pull"),
    *("--transport", "--workers", "--keep-text", "--insecure", "--ca-file", "--no-report"),
    *("--history", "--no-history"),
)


def option(command: click.Command, name: str) -> click.Parameter:
    return next(p for p in command.params if name in p.opts)


@pytest.mark.parametrize("name", OURS)
def test_an_option_is_the_same_in_every_command(name: str) -> None:
    kinds = {
        (p.human_readable_name, tuple(p.opts), p.type.name, p.multiple, str(p.default), p.help)  # type: ignore[attr-defined]
        for p in (option(command, name) for command in COMMANDS.values())
    }
    assert len(kinds) == 1


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_option_is_there_twice(name: str) -> None:
    names = [o for p in COMMANDS[name].params for o in p.opts]
    assert len(names) == len(set(names))
