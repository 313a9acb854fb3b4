"""The options of every command that measures, written once: `run`, `ab`, `plan`, `capacity`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.output import console
from bench.cli.pages import (
    HISTORY,
    HistoryOptions,
    certificate_options,
    flag,
    folder_option,
    gathered,
    many,
    quiet_option,
)
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.load.session import Settings


@dataclass(frozen=True, slots=True)
class Measuring(HistoryOptions):
    """What these options say. Attributes: as the options of the same names."""

    models: tuple[str, ...]
    hosts: tuple[str, ...]
    overrides: tuple[str, ...]
    prices: tuple[str, ...]
    telemetry: tuple[str, ...]
    bandwidth: float | None
    seed: int | None
    output: Path
    transport: str | None
    workers: str
    load_from: str
    keep_text: bool
    pull: bool
    insecure: bool
    ca_file: str
    no_report: bool
    dry_run: bool
    quiet: bool

    @property
    def chosen(self) -> dict[str, Any]:
        """What to measure: the keyword arguments of `make_plan` and its like."""
        return {
            "models": self.models,
            "hosts": self.hosts,
            "overrides": (*self.overrides, *self._shortcuts()),
            "seed": self.seed,
        }

    def _shortcuts(self) -> list[str]:
        """Options that stand for a key of the scenario, as `--set` takes them."""
        lists = {"price": self.prices, "telemetry": self.telemetry}
        found = [f"{key}={json.dumps(list(values))}" for key, values in lists.items() if values]
        return found if self.bandwidth is None else [*found, f"bandwidth={self.bandwidth}"]

    def settings(self, *, one_at_a_time: bool = False) -> Settings:
        """Where results go, and how to send."""
        from bench.load.session import Settings

        pull = None
        if self.pull:
            from bench.cli.pulling import PullBar

            pull = PullBar(console(err=True, quiet=self.quiet))
        return Settings(
            output=self.output,
            transport=self.transport,
            workers=_worker_count(self.workers),
            load_from=self.load_from,
            keep_text=self.keep_text,
            insecure=self.insecure,
            ca_file=self.ca_file,
            pull=pull,
            one_at_a_time=one_at_a_time,
            history=self.path(),
        )


measuring_options = gathered(
    Measuring,
    "measuring",
    many("-m", "--model", "models", help="Model to measure; repeatable."),
    many("--host", "hosts", help="Server to measure; repeatable."),
    many("--set", "overrides", metavar="PATH=VALUE", help="Override a scenario key; repeatable."),
    many(
        "--price",
        "prices",
        metavar="MONEY",
        help="Of electricity (0.30 EUR/kWh) or of the machine (1.20 EUR/h); repeatable.",
    ),
    many(
        "--telemetry",
        metavar="WHAT",
        help="Hardware to watch: auto, off, a kind such as nvidia, or the URL of a Prometheus "
        "exporter on the server's machine; repeatable.",
    ),
    click.option(
        "--bandwidth",
        type=float,
        metavar="GB/S",
        help="Of the memory that holds the model, where the machine does not tell it.",
    ),
    folder_option,
    click.option("--seed", type=int, help="Seed of everything that is drawn."),
    flag("--dry-run", help="Print the plan and stop."),
    quiet_option,
    flag("--pull", help="Pull missing models first."),
    click.option("--transport", metavar="NAME", help="Force kernel, user or httpx."),
    click.option("--workers", default="1", metavar="N|auto", help="Processes that send."),
    click.option(
        "--load-from",
        default="",
        show_default=False,
        metavar="ADDRESS|local:N|FILE",
        help="Machines that send: a Dask scheduler, or a file of hosts; see help fleet.",
    ),
    flag("--keep-text", help="Keep the text of the answers."),
    certificate_options,
    flag("--no-report", help="Write no HTML page."),
    *HISTORY,
)
"""The options; the command gets them as one argument, `measuring`."""


def _worker_count(text: str) -> int:
    """How many processes are asked for; 0 = as many as the load needs."""
    if text == "auto":
        return 0
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--workers {text}: give a number of processes, or auto")
