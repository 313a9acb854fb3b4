"""What the view of a run knows of one case: figures by the rules of the report, from counters."""

from __future__ import annotations

import importlib
from array import array
from collections import deque
from dataclasses import dataclass, field

from bench.metrics import MIN_OUTPUT_TOKENS
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo
from bench.scenario.plan import Case
from bench.wire.exchange import Outcome

_LAST = 5000
_NS = 1e9
NO_VALUE = "-"


def get_ready() -> None:
    """Import what the figures need: it takes a tenth of a second, which no measured request has."""
    importlib.import_module("bench.analysis.run.columns")
    importlib.import_module("bench.analysis.run.windows")
    importlib.import_module("bench.stats.quantiles")
    importlib.import_module("bench.stats.queue_memory")


def progress_of(case: Case | None) -> CaseProgress:
    """Nothing counted yet of a case; None if the plan does not know it."""
    if case is None:
        return CaseProgress()
    return CaseProgress(case.load.loop == "open", case.in_sessions)


@dataclass(slots=True)
class CaseProgress:
    """Counters of one case: cheap to keep.

    Attributes:
        open_loop: waits in the queue resemble each other, so percentiles need more requests.
        in_sessions: requests of a session are alike by plan.
        in_block: measured requests of the current block that have ended.
        counted_tokens, counted_s: tokens in the windows of the blocks that have ended, and the
            length of these: exactly as the tables count them.
        tokens, spent_s: tokens of the answers of the current block so far, and how long these took
            together.
        measured_s, busy_s: how long the current block was measured, and the same times how many
            requests were in flight.
        decoded, decode_ns: tokens after the first, and the time the server took for them.
        ttft_s: the last few thousand values, and the block of each.
        spans: begin, end and tokens of every answer of the current block.
    """

    open_loop: bool = False
    in_sessions: bool = False
    blocks: int = 0
    blocks_done: int = 0
    ok: int = 0
    failed: int = 0
    in_block: int = 0
    counted_tokens: float = 0.0
    counted_s: float = 0.0
    tokens: int = 0
    spent_s: float = 0.0
    measured_s: float = 0.0
    busy_s: float = 0.0
    decoded: int = 0
    decode_ns: int = 0
    ttft_s: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_LAST))
    spans: array[int] = field(default_factory=lambda: array("q"))
    _shown: tuple[int, str] = (0, NO_VALUE)

    def begin_block(self) -> None:
        """Count a new block."""
        self.in_block = self.tokens = 0
        self.spent_s = self.measured_s = self.busy_s = 0.0
        del self.spans[:]

    def pass_time(self, seconds: float, in_flight: int) -> None:
        """Time in which was measured, with so many requests in flight."""
        self.measured_s += seconds
        self.busy_s += in_flight * seconds

    def count(self, record: RequestRecord) -> None:
        """Take a request in. Those that keep the load up count for throughput only."""
        done = record.outcome is Outcome.OK
        if done and record.phase is not Phase.WARMUP:
            self._credit(record)
        if record.phase is not Phase.MEASURE:
            return
        self.in_block += 1
        if not done:
            self.failed += record.outcome is not Outcome.CANCELLED
            return
        self.ok += 1
        self._time(record)

    def _credit(self, record: RequestRecord) -> None:
        tokens, sent, end = record.server.eval_count, record.sent_ns, record.end_ns
        if not tokens or tokens < 0 or sent is None or end is None:
            return
        first, last = _first_text_ns(record), record.last_text_ns
        self.spans.extend((sent if first is None else first, end if last is None else last, tokens))

    def _time(self, record: RequestRecord) -> None:
        server = record.server
        tokens = max(server.eval_count or 0, 0)  # the report judges it; no server makes less
        if tokens and record.sent_ns is not None and record.end_ns is not None:
            self.tokens += tokens
            self.spent_s += (record.end_ns - record.sent_ns) / _NS
            if server.eval_duration and server.eval_duration > 0 and tokens >= MIN_OUTPUT_TOKENS:
                self.decoded += tokens - 1
                self.decode_ns += server.eval_duration
        if (wait := ttft_s(record)) is not None:
            self.ttft_s.append((wait, record.block))

    def end_block(self, info: BlockInfo) -> None:
        """What the block did in its window, once that is known."""
        import numpy as np

        from bench.analysis.run.windows import part_inside

        self.blocks_done += 1
        window = (float(info.window_start_ns), float(info.window_end_ns))
        if window[1] > window[0]:
            begin, end, tokens = np.array(self.spans, dtype=np.float64).reshape(-1, 3).T
            self.counted_tokens += float((part_inside(begin, end, window) * tokens).sum())
            self.counted_s += (window[1] - window[0]) / _NS
        self.begin_block()

    def ttft_so_far(self) -> str:
        """Median and 95 % quantile, where the requests so far carry them."""
        if self._shown[0] != self.ok:
            found = self.ttft_values()
            texts = [NO_VALUE if value is None else seconds(value) for value in found]
            self._shown = (self.ok, " / ".join(texts) if set(texts) != {NO_VALUE} else NO_VALUE)
        return self._shown[1]

    def ttft_values(self) -> tuple[float | None, float | None]:
        """Median and 95 % quantile in seconds; None where the requests so far do not carry it."""
        import numpy as np

        from bench.analysis.run.columns import one_per_request
        from bench.stats.quantiles import quantile_estimates
        from bench.stats.queue_memory import judge, queue_series

        if not self.ttft_s:
            return None, None
        values, blocks = map(np.array, zip(*self.ttft_s, strict=True))
        if self.open_loop:
            queue = queue_series([values[blocks == b] for b in np.unique(blocks)], None)
            shown = (judge(queue, p).interval for p in (0.5, 0.95))
            p50, p95 = (None if found is None else found.value for found in shown)
            return p50, p95
        sample = one_per_request(values, blocks)
        of_all = quantile_estimates(
            sample.values, sample.blocks, {"p50": 0.5, "p95": 0.95}, patterned=self.in_sessions
        )
        return of_all["p50"].value, of_all["p95"].value

    def throughput_so_far(self) -> str:
        """Tokens per second of all answers together, while it was measured.

        Of blocks that have ended as the tables count it. Of the current one it is the speed of an
        answer times how many were in flight: answers that are not complete need not be known, so
        this is right from the first answer on.
        """
        tokens, seconds = self.counted_tokens, self.counted_s
        if self.tokens and self.spent_s and self.measured_s:
            tokens += self.tokens / self.spent_s * self.busy_s
            seconds += self.measured_s
        return rate(tokens / seconds) if tokens and seconds else NO_VALUE

    def speed_so_far(self) -> str:
        """Decode speed of one answer in tokens per second, over all requests so far."""
        return rate(self.decoded * _NS / self.decode_ns) if self.decode_ns else NO_VALUE


def ttft_s(record: RequestRecord) -> float | None:
    """Time to first text of a streamed request; of one that was due at a time, from then on."""
    first = _first_text_ns(record)
    begin = record.planned_ns if record.planned_ns is not None else record.sent_ns
    if not record.stream or first is None or begin is None:
        return None
    return (first - begin) / _NS


def _first_text_ns(record: RequestRecord) -> int | None:
    stamps = (record.first_thinking_ns, record.first_answer_ns)
    return min((n for n in stamps if n is not None), default=None)


def seconds(value: float) -> str:
    """A time as people read it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def rate(value: float) -> str:
    """Things per second, in three digits or as many as it has."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
