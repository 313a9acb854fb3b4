"""`ollama-bench models`: the models of a server, and what they can do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.cli.output import console, echo_json, say
from bench.cli.pages import certificate_options, flag

if TYPE_CHECKING:
    from bench.doctor.inventory import ListedModel

_WIDE = 90


@click.command("models")
@click.option("--host", help="Server to ask; default: OLLAMA_HOST, else this machine.")
@certificate_options
@flag("--json", "as_json", help="Print JSON.")
def command(host: str | None, insecure: bool, ca_file: str, as_json: bool) -> None:
    """List the models of a server, and what they can do."""
    from bench.address import server_url
    from bench.doctor.inventory import list_models
    from bench.load.session import Settings

    address = Settings(insecure=insecure, ca_file=ca_file).address(server_url(host))
    rows = [_row(m) for m in asyncio.run(list_models(address))]
    if as_json:
        echo_json(json.dumps(rows, ensure_ascii=False).encode())
        return
    if not rows:
        say("no model is installed; get one, e.g.: ollama pull llama3.2:3b", err=False)
        return
    _print(rows)


def _row(model: ListedModel) -> dict[str, Any]:
    return {
        "model": model.installed.name,
        "parameters": model.installed.parameter_size,
        "quantization": model.installed.quantization,
        "size_bytes": model.installed.size_bytes,
        "context_limit": model.context_limit,
        "capabilities": list(model.capabilities),
        "cloud": model.cloud,
        "loaded": model.residency.loaded,
        "served_context": model.residency.served_context,
        "gpu_share": model.residency.gpu_share,
        "digest": model.installed.digest,
    }


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.filesize import decimal
    from rich.table import Table

    terminal = console()
    wide = terminal.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Model", no_wrap=True)
    for title in ("Params", "Quant") if wide else ("Quant",):
        table.add_column(title, no_wrap=True)
    for title in ("Size", "Context"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Can do")
    for row in rows:
        table.add_row(
            row["model"],
            *([row["parameters"]] if wide else []),
            row["quantization"],
            "-" if row["size_bytes"] is None else decimal(row["size_bytes"]),
            "-" if row["context_limit"] is None else f"{row['context_limit']:,}",
            "answered by a cloud service" if row["cloud"] else ", ".join(row["capabilities"]),
        )
    terminal.print(table)
    loaded = [row for row in rows if row["loaded"]]
    for row in loaded:
        terminal.print(f"in memory: {row['model']}{_placed(row)}")
    if not loaded:
        terminal.print("in memory: no model")


def _placed(row: dict[str, Any]) -> str:
    parts = []
    if row["served_context"]:
        parts.append(f"context {row['served_context']:,}")
    if row["gpu_share"] is not None:
        parts.append(f"{row['gpu_share']:.0%} on the GPU")
    return f" ({', '.join(parts)})" if parts else ""
