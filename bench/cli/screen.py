"""Draws the live table of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cli.progress import CaseProgress, Progress, duration

REFRESH_PER_S = 2
"""Redraws per second: each takes a few milliseconds of this process."""

_WIDE = 100
_OTHER_LINES = 5
"""Lines of the screen that are not for cases: titles, what is left out, the foot."""


class Screen:
    """The table, and the lines above it.

    Args:
        progress: of the run; read whenever the table is drawn.
        console: to draw on; stderr unless given.
    """

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        self._progress = progress
        self._console = console or Console(stderr=True)
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESH_PER_S,
            get_renderable=self._draw,
            transient=True,
        )

    def start(self) -> None:
        """Draw the table from now on."""
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the table away."""
        self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        """Print something above the table."""
        self._console.print(Text(line, style=style))

    def _draw(self) -> RenderableType:
        return Group(self._table(), *self._foot())

    def _table(self) -> Table:
        progress, wide = self._progress, self._console.width >= _WIDE
        table = Table(box=None, pad_edge=False, expand=False)
        table.add_column("case", no_wrap=True, overflow="ellipsis", min_width=12, ratio=1)
        table.add_column("", width=20 if wide else 8)
        for title in ("ok", "failed", "tok/s each", "in all", "TTFT p50 / p95"):
            table.add_column(title, justify="right", no_wrap=True)
        shown = list(_window(progress, max(1, self._console.height - _OTHER_LINES)))
        for case_id, case in shown:
            table.add_row(
                Text(case_id, style="bold" if progress.is_current(case_id) else ""),
                ProgressBar(total=1.0, completed=progress.share(case_id)),
                str(case.ok),
                Text(str(case.failed), style="red" if case.failed else ""),
                case.speed_so_far(),
                progress.throughput(case_id),
                case.ttft_so_far(),
            )
        if hidden := len(progress.cases) - len(shown):
            table.add_row(Text(f"... and {hidden} more cases", style="dim"))
        return table

    def _foot(self) -> Sequence[RenderableType]:
        progress = self._progress
        left = progress.left_s()
        done = progress.share_of_all()
        parts = [
            f"{done:4.0%} of all",
            f"block {min(progress.blocks_done + 1, progress.total)}/{progress.total}",
            progress.phase or "done",
            f"{progress.in_flight} in flight",
            f"{duration(left)} left" if left is not None else "time left not known yet",
        ]
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=1.0, completed=done, width=12), Text("   ".join(parts), style="dim")
        )
        return (Text(), line)


def _window(progress: Progress, fits: int) -> Iterator[tuple[str, CaseProgress]]:
    """As many cases as fit: those around the current one."""
    ids = list(progress.cases)
    current = next((i for i, case_id in enumerate(ids) if progress.is_current(case_id)), 0)
    first = max(0, min(current - fits // 2, len(ids) - fits))
    for case_id in ids[first : first + fits]:
        yield case_id, progress.cases[case_id]
