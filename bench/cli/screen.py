"""Draws the live table of a run."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cli.case_progress import CaseProgress
from bench.cli.output import console as terminal
from bench.cli.progress import Progress, duration

REFRESH_PER_S = 2
"""Redraws per second: each takes a few milliseconds of this process."""

_WIDE = 100
"""Columns of the screen from which on there is room for everything."""
_OTHER_LINES = 7
"""Lines of the screen that are not for cases: titles, what is left out, the foot."""
_NUMBERS = {"ok": 5, "failed": 6, "tok/s": 6, "TTFT p50 / p95": 17}
"""Title -> width; `tok/s` are those of all answers together."""
_EACH = {"tok/s each": 10}


class Screen:
    """The table, and the lines above it; on stderr by default."""

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        self._progress = progress
        self._console = console or terminal(err=True)
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESH_PER_S,
            get_renderable=self.draw,
            transient=True,
        )

    def start(self) -> None:
        """Draw the table from now on."""
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the table away."""
        self._live.stop()

    def refresh(self) -> None:
        """Draw it anew now."""
        self._live.refresh()

    def say(self, line: str, style: str = "") -> None:
        """Print something above the table."""
        self._console.print(Text(line, style=style))

    def draw(self) -> RenderableType:
        """The table and the line below it, as things stand."""
        return Group(self._table(), *self._foot())

    @property
    def _fits(self) -> int:
        return max(1, self._console.height - _OTHER_LINES)

    def _table(self) -> Table:
        progress, wide = self._progress, self._console.width >= _WIDE
        numbers = {**_NUMBERS, **(_EACH if wide else {})}
        bar = 20 if wide else 8
        rest = self._console.width - bar - sum(numbers.values()) - len(numbers) - 1
        shown = list(_window(progress, self._fits))
        room = min(rest, max((len(case_id) + 2 for case_id, _ in shown), default=0))
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=False)
        table.add_column("  case", no_wrap=True, width=room)
        table.add_column("", width=bar)
        for title, width in numbers.items():
            table.add_column(title, justify="right", no_wrap=True, width=width)
        for case_id, case in shown:
            table.add_row(*self._row(case_id, case, room, wide))
        return table

    def _row(
        self, case_id: str, case: CaseProgress, room: int, wide: bool
    ) -> Iterator[RenderableType]:
        current = self._progress.is_current(case_id)
        yield Text(("> " if current else "  ") + shortened(case_id, room - 2), "bold" * current)
        yield ProgressBar(total=1.0, completed=self._progress.share(case_id))
        yield str(case.ok)
        yield Text(str(case.failed), style="red" if case.failed else "")
        yield case.throughput_so_far()
        yield case.ttft_so_far()
        if wide:
            yield case.speed_so_far()

    def _foot(self) -> Iterator[RenderableType]:
        progress = self._progress
        left, done = progress.left_s(), progress.share_of_all()
        if len(progress.cases) > self._fits:
            yield Text(f"  ... and {len(progress.cases) - self._fits} more cases", style="dim")
        parts = [
            f"{done:4.0%}",
            f"block {min(progress.blocks_done + 1, progress.total)}/{progress.total}",
            progress.phase or "done",
            f"{progress.in_flight} in flight",
            f"{duration(left)} left" if left is not None else "time left: ?",
        ]
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=done, width=12)
        line.add_row(Text(" "), bar, Text("  ".join(parts), style="dim", no_wrap=True))
        yield Text()
        yield line
        if progress.stop:
            yield Text(f"  {progress.stop}", style="bold", no_wrap=True, overflow="ellipsis")
        if progress.last_error:
            said = f"  last failure: {progress.last_error}"
            yield Text(said, style="red", no_wrap=True, overflow="ellipsis")


def shortened(case_id: str, room: int) -> str:
    """A case's name in so many characters: its end tells it from the others, so that is kept."""
    if len(case_id) <= room:
        return case_id
    head, comma, tail = case_id.partition(",")
    left = room - len(comma + tail) - 1
    return f"{head[:left]}…{comma}{tail}" if left > 3 else f"…{case_id[-max(1, room - 1) :]}"


def _window(progress: Progress, fits: int) -> Iterator[tuple[str, CaseProgress]]:
    ids = list(progress.cases)
    current = next((i for i, case_id in enumerate(ids) if progress.is_current(case_id)), 0)
    first = max(0, min(current - fits // 2, len(ids) - fits))
    for case_id in ids[first : first + fits]:
        yield case_id, progress.cases[case_id]
