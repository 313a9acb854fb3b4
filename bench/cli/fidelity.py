"""`ollama-bench fidelity`: how far quantisations, servers or settings move the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.output import console, echo, say
from bench.cli.pages import (
    PATH,
    PageOptions,
    certificate_options,
    flag,
    folder_option,
    page_options,
    quiet_option,
    write_page,
)
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.commands.fidelity_asking import OnStep


@click.command(short_help="Measure how far quantisations, servers or settings move the answers.")
@click.argument("reference", required=False)
@click.argument("candidates", nargs=-1, metavar="CANDIDATE...")
@click.option("--host", metavar="URL", help="Server of the models. Default: OLLAMA_HOST.")
@click.option(
    "--texts",
    default="en,code",
    metavar="LIST",
    help="Shipped texts (en, zh, de, es, code) and files, with commas between; of a file each "
    "paragraph is a text, or each line of .jsonl.",
)
@flag("--quick", help="15 texts instead of 60: for large differences.")
@click.option("--seed", type=click.IntRange(0), default=7, help="Of texts and places.")
@click.option(
    "--resume",
    type=PATH,
    metavar="DIR",
    help="Go on with an earlier run where it stopped; nothing else need be named.",
)
@folder_option
@certificate_options
@page_options()
@quiet_option
def command(
    reference: str | None,
    candidates: tuple[str, ...],
    host: str | None,
    texts: str,
    quick: bool,
    seed: int,
    resume: Path | None,
    output: Path,
    insecure: bool,
    ca_file: str,
    shown: PageOptions,
    quiet: bool,
) -> None:
    """Measure how far each CANDIDATE's next words are from the REFERENCE's.

    REFERENCE is the original, or the best file there is: llama3.2:3b-instruct-fp16, say. A model is
    a NAME, or NAME@URL for one on another server: so one model on two servers answers whether an
    upgrade or a setting (OLLAMA_KV_CACHE_TYPE) changed the answers.

    Takes one short request a place: 480 a model, 120 with --quick. Ctrl-C keeps what was measured.
    It tells how much the answers change, not whether they are better or worse.

    Exit codes: 0 measured, 2 a model cannot be measured, 4 another tokenizer, or a model that has
    changed since the run began, 6 server unreachable, 130 interrupted.
    """
    from bench.commands.fidelity import fidelity, resume_fidelity
    from bench.load.session import Settings
    from bench.report.fidelity.page import fidelity_page
    from bench.report.write import write_reports
    from bench.results.fidelity_files import PAGE_FILE, fidelity_alone

    settings = Settings(output=output, insecure=insecure, ca_file=ca_file)
    if resume is not None and reference is not None:
        raise UsageError(
            f"--resume {resume} goes on with the models of that run",
            "Name either models or --resume.",
        )
    with _progress(quiet) as on_step:
        if resume is not None:
            found = resume_fidelity(resume, settings=settings, on_step=on_step)
        elif reference is not None:
            found = fidelity(
                reference,
                candidates,
                host=host,
                texts=[t.strip() for t in texts.split(",") if t.strip()],
                quick=quick,
                seed=seed,
                settings=settings,
                on_step=on_step,
            )
        else:
            raise UsageError(
                "no model is named",
                "Write: ollama-bench fidelity REFERENCE CANDIDATE... (or --resume DIR).",
            )
    page = fidelity_page(found.result)
    if fidelity_alone(found.path):
        report = found.path / PAGE_FILE
        write_page(page, report, shown.template)
    else:
        _, written = write_reports([found.path], template=shown.template)
        report = written or found.path
    shown.tell(lambda _: page, quiet=quiet)
    shown.tell_report(report, quiet)
    if shown.format_name == "console":
        echo(f"{found.path}\n")


@contextmanager
def _progress(quiet: bool) -> Iterator[OnStep | None]:
    """A bar with the time left on a terminal; elsewhere a line for each model."""
    if quiet:
        yield None
        return
    screen = console(err=True)
    if not screen.is_terminal:
        seen: set[str] = set()

        def line(label: str, done: int, total: int) -> None:
            if label not in seen:
                seen.add(label)
                say(f"{label}: from place {done} of {total} on")

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeLeft(), console=screen) as bars:
        bar = bars.add_task("loading", total=None)

        def step(label: str, done: int, total: int) -> None:
            bars.update(bar, description=label, completed=done, total=total)

        yield step
