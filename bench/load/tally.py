"""What is remembered of measured requests once their records are in the journal: a few numbers.

Blocks of millions of chunks must not fill the memory; the records themselves can be read back.
"""

from __future__ import annotations

from array import array
from collections import Counter

from bench.results.record import RequestRecord
from bench.wire.exchange import Outcome


class BlockTally:
    """Counts over the measured requests of one block.

    Attributes:
        requests, failed: how many ended, and how many of them badly (not by our own hand).
        first_failure: what the first of those said.
        remote: a cloud service answered.
        odd: for each field that could not be read, in how many replies.
        reads, coalesced, user_stamps: see `bench.results.run.ClientHealth`.
        begun_ns: when the first one was sent, or was due; None before that.
        ended_ns: when the last one ended.
        late_ns: how late requests were sent by our own fault: after they were due, less the time
            that connecting took.
        loads: (index of the request, load_duration in ns) of every request for which the server
            says one that fits into the exchange.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self.first_failure = ""
        self.remote = False
        self.odd: Counter[str] = Counter()
        self.reads = 0
        self.coalesced = 0
        self.user_stamps = 0
        self.begun_ns: int | None = None
        self.ended_ns: int | None = None
        self.late_ns: array[int] = array("q")
        self._load_index: array[int] = array("q")
        self._load_ns: array[int] = array("q")

    @property
    def loads(self) -> list[tuple[int, int]]:
        """Index and load_duration of every request that has one, in the order they ended."""
        return list(zip(self._load_index, self._load_ns, strict=True))

    def count(self, record: RequestRecord, due_ns: int | None = None) -> None:
        """Take one in.

        `due_ns` is when it was due, from the start of the run; None = at no certain time.
        """
        self.requests += 1
        if record.outcome not in (Outcome.OK, Outcome.CANCELLED):
            self.failed += 1
            self.first_failure = self.first_failure or record.error or record.outcome.value
        self.remote |= bool(record.remote_model)
        self.odd.update(record.odd)
        self.reads += record.chunks - record.coalesced
        self.coalesced += record.coalesced
        self.user_stamps += record.user_stamps
        if due_ns is not None and record.sent_ns is not None:
            self.late_ns.append(max(0, record.sent_ns - due_ns - (record.connect_ns or 0)))
        load_ns = record.server.load_duration
        # A load that is longer than the exchange was none (and may not even fit the array).
        if load_ns is not None and 0 <= load_ns <= (record.end_ns or 0) - (record.sent_ns or 0):
            self._load_index.append(record.index)
            self._load_ns.append(load_ns)
        begun = record.planned_ns if record.planned_ns is not None else record.sent_ns
        if begun is not None:
            self.begun_ns = begun if self.begun_ns is None else min(self.begun_ns, begun)
        if record.end_ns is not None:
            self.ended_ns = max(record.end_ns, self.ended_ns or record.end_ns)
