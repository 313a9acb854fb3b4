"""`ollama-bench report`: render run directories again, in any format."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("html", "markdown", "json", "csv", "console")


@click.command(short_help="Render run directories again, in any format.")
@click.argument(
    "run_dirs", nargs=-1, required=True, metavar="RUN_DIR...", type=click.Path(path_type=Path)
)
@click.option(
    "--format", "format_name", type=click.Choice(FORMATS), default="html", show_default=True
)
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; - is stdout. For html, the default is report.html "
    "in the run directory (several: in this folder); for the others, stdout.",
)
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Your own templates, style and script: see reports/README.md.",
)
@click.option(
    "--charts",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write every chart as a PNG and an SVG file into DIR.",
)
def command(
    run_dirs: tuple[Path, ...],
    format_name: str,
    output: Path | None,
    template: Path | None,
    charts: Path | None,
) -> None:
    """Render one or several run directories as one report."""
    from bench.report.write import write_reports

    text, path = write_reports(run_dirs, format_name, output, template, charts)
    click.echo(text if path is None else str(path), nl=path is not None)
