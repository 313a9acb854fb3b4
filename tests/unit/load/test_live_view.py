from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.cli.live import LiveView
from bench.cli.progress import PlainView, duration, seconds
from bench.results.record import Phase


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, height=30)


def test_plain_lines_for_logs_and_pipes(play, kit):
    lines: list[str] = []
    play(kit.plan(kit.case(kit.closed(2, requests=10)), blocks=2), observer=PlainView(lines.append))
    text = "\n".join(lines)
    assert "1 case, 2 blocks, 20 requests" in text
    assert "block 2/2: m:1b" in text
    assert "20 ok, 0 failed, 8.0 tok/s each, " in text
    assert "TTFT p50/p95 500 ms / 500 ms" in text
    assert "\x1b" not in text


def test_the_table_counts_what_happens(play, kit):
    out = console(terminal=True)
    view = LiveView(out)
    with view.shown():
        play(kit.plan(kit.case(kit.closed(3, requests=30))), observer=view)
    progress = view.cases["m:1b"]
    assert (progress.ok, progress.failed, progress.blocks_done) == (30, 0, 1)
    assert view.in_flight == 0
    assert view.share("m:1b") == 1.0
    assert "m:1b" in out.file.getvalue()


def test_the_phase_is_that_of_the_last_request_sent(play, kit):
    class Noting(PlainView):
        phases: list[str] = []  # noqa: RUF012

        def request_sent(self, phase):
            super().request_sent(phase)
            self.phases.append(self.phase)

    view = Noting(str)
    play(kit.plan(kit.case(kit.closed(3, requests=9, ramp_up_s=5.0))), observer=view)
    order = list(dict.fromkeys(view.phases))
    assert order == ["warm-up", "ramp-up", "measure"]


def test_shares_and_time_left_grow_with_what_is_done(play, kit):
    shares = []

    class Noting(PlainView):
        def request_ended(self, record):
            super().request_ended(record)
            if record.phase is Phase.MEASURE:
                shares.append(self.share(record.case))

    play(kit.plan(kit.case(kit.closed(1, requests=10))), observer=Noting(str))
    assert shares == pytest.approx([n / 10 for n in range(1, 11)])


def test_times_as_people_read_them():
    assert [seconds(v) for v in (0.0123, 2.5)] == ["12 ms", "2.50 s"]
    assert [duration(v) for v in (0.2, 60, 600, 7200)] == ["1 s", "60 s", "10 min", "2.0 h"]
