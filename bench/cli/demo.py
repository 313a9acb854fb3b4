"""`ollama-bench demo`: measure a small model on the embedded server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bench.cli.output import say
from bench.cli.pages import flag, folder_option, open_option, open_page, quiet_option


@click.command("demo")
@folder_option
@click.option(
    "--engine",
    type=click.Choice(["auto", "llama.cpp", "simulated"]),
    default="auto",
    help="What the server runs on; auto is llama.cpp if it is installed.",
)
@open_option
@flag("--json", "as_json", help="Print summary.json on stdout.")
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    output: Path,
    engine: Literal["auto", "llama.cpp", "simulated"],
    open_report: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure a small model on the embedded server: works on any machine, without Ollama.

    With the llama.cpp engine the tokens are real: SmolLM2-135M, fetched once (98 MB). Without it
    the server is simulated and its numbers are invented. Takes two to three minutes.
    """
    from bench.cli.run import run_in_view, tell, tell_json
    from bench.commands.demo import choose_engine, demo_plan, demo_server
    from bench.load.session import Settings

    chosen = choose_engine(engine)
    settings = Settings(output=output)
    with demo_server(chosen, None if quiet else say) as server:
        plan = demo_plan(chosen, server, settings)
        run = run_in_view(plan, settings, quiet=quiet)
        if as_json:
            tell_json([run])
        else:
            tell(run, quiet)
    if open_report and run.report is not None:
        open_page(run.report)
    context.exit(int(run.exit_code))
