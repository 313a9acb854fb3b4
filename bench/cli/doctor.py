"""`ollama-bench doctor`: check this machine and its server for what bends numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bench.cli.output import console, echo_json, say
from bench.cli.pages import certificate_options, flag
from bench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.doctor.checkup import Finding
    from bench.doctor.self_test import SelfTest

_MARKS = {
    "fine": ("ok", "green"),
    "caution": ("!", "yellow"),
    "bad": ("x", "red"),
    "unknown": ("?", "dim"),
}


@click.command("doctor")
@click.option("--host", help="Server to check; default: OLLAMA_HOST, else this machine.")
@certificate_options
@flag(
    "--self-test",
    help="Measure what this program can be trusted to here, against a server of its own (15 s). "
    "No other server is asked.",
)
@click.option(
    "--load-from",
    default="",
    show_default=False,
    metavar="ADDRESS|local:N|FILE",
    help="Check the machines that send, too: see help fleet.",
)
@click.option("--transport", metavar="NAME", help="For --self-test: force kernel, user or httpx.")
@flag("--json", "as_json", help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    host: str | None,
    insecure: bool,
    ca_file: str,
    self_test: bool,
    load_from: str,
    transport: str | None,
    as_json: bool,
) -> None:
    """Check this machine and its server for what bends numbers. Changes nothing.

    Exit code 6 if the server cannot be used, else 0.
    """
    import msgspec

    from bench.address import server_url
    from bench.doctor.checkup import Status, check_machine, check_server
    from bench.load.session import Settings

    if transport and not self_test:
        raise UsageError("--transport is for --self-test only", "A run has a --transport as well.")
    if self_test and (load_from or host):
        raise UsageError(
            "--self-test asks no other server or machine", "Leave out --host and --load-from."
        )
    test = None
    if self_test:
        test, findings = _tested(transport)
    else:
        address = Settings(insecure=insecure, ca_file=ca_file).address(server_url(host))
        findings = [*asyncio.run(check_server(address)), *check_machine()]
        if load_from:
            from bench.doctor.fleet import check_fleet

            findings += asyncio.run(check_fleet(load_from))
    if as_json:
        echo_json(msgspec.json.encode({"findings": findings, "self_test": test}))
    else:
        _print(findings, test, console())
    if any(f.status is Status.BAD for f in findings):
        context.exit(int(ExitCode.UNREACHABLE))


def _tested(transport: str | None) -> tuple[SelfTest, list[Finding]]:
    """The self-test, and what it means beside what this machine is doing meanwhile."""
    from bench.doctor.checkup import check_machine
    from bench.doctor.self_test import ceiling_findings, run_self_test
    from bench.wire.transports import run_measuring

    machine = check_machine()
    say("measuring against a server of its own ...")
    test = run_measuring(run_self_test(transport))
    return test, [*machine, *ceiling_findings(test)]


def _print(findings: Sequence[Finding], test: SelfTest | None, terminal: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 1))
    lines.add_column(justify="right", no_wrap=True)
    lines.add_column()
    for finding in findings:
        mark, style = _MARKS[finding.status]
        lines.add_row(Text(mark, style), Text.assemble((f"{finding.what}: ", "bold"), finding.said))
        if finding.advice:
            lines.add_row("", Text(finding.advice, "dim"))
    terminal.print(lines)
    if test is not None:
        terminal.print()
        _print_steps(test, terminal)


def _print_steps(test: SelfTest, terminal: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Chunks/s", "came", "stamp p50", "p99", "gap p99", "shared", "CPU", "late"):
        table.add_column(title, justify="right", no_wrap=True)
    for step in test.steps:
        table.add_row(
            f"{step.offered_per_s:,}",
            f"{step.reached_per_s:,.0f}",
            _ms(step.error_p50_ms),
            _ms(step.error_p99_ms),
            _ms(step.gap_error_p99_ms),
            f"{step.coalesced_share:.0%}",
            f"{step.cpu_share:.0%}",
            _ms(step.server_late_p99_ms),
        )
    terminal.print(table)
    terminal.print(
        "In ms: errors of this program's stamps and gaps against the server's own notes, and how "
        "late the test's server itself was (p99). Chunks that shared a read; CPU of this program.",
        style="dim",
    )


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"
