"""`ollama-bench doctor`: check this machine and its server for what bends numbers."""

from __future__ import annotations

import asyncio

import click

from bench.errors import ExitCode

_MARKS = {
    "fine": ("ok", "green"),
    "caution": ("!", "yellow"),
    "bad": ("x", "red"),
    "unknown": ("?", "dim"),
}


@click.command("doctor")
@click.option("--host", help="Server to check; default: OLLAMA_HOST, else this machine.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@click.option("--ca-file", default="", metavar="FILE", help="Certificate authority to trust.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context, host: str | None, insecure: bool, ca_file: str, as_json: bool
) -> None:
    """Check this machine and its server for what bends numbers. Changes nothing.

    Exit code 6 if the server cannot be used, else 0.
    """
    import msgspec
    from rich.console import Console
    from rich.text import Text

    from bench.load.checkup import Status, check_machine, check_server
    from bench.load.session import Settings
    from bench.scenario.hosts import default_host

    address = Settings(insecure=insecure, ca_file=ca_file).address(host or default_host())
    findings = [*asyncio.run(check_server(address)), *check_machine()]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        console = Console()
        for finding in findings:
            mark, style = _MARKS[finding.status]
            line = Text(f"{mark:>2} ", style=style)
            line.append(f"{finding.what}: ", style="bold").append(finding.said, style="default")
            console.print(line)
            if finding.advice:
                console.print(Text(f"   {finding.advice}", style="dim"))
    if any(f.status is Status.BAD for f in findings):
        context.exit(int(ExitCode.UNREACHABLE))
