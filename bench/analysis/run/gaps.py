"""Gaps between the chunks of streamed replies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import Bools, Columns, Floats, Ints, ShortInts
from bench.results.records import Records

_NS = 1e9
_GAP_BATCH = 2048
"""Requests whose gaps are unpacked at once: bounds the memory that takes, and fits in caches."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps between the chunks of many replies, one row a gap.

    Attributes:
        seconds: the gaps.
        row: `Columns.row` of the request each belongs to, ascending.
    """

    seconds: Floats
    row: ShortInts

    def position_in(self, rows: Ints) -> ShortInts:
        """For each gap, where its request stands in a list of rows that holds it."""
        if not len(rows):
            return np.zeros(0, dtype=np.int32)
        lowest = int(rows.min())
        table = np.zeros(int(rows.max() - lowest) + 1, dtype=np.int32)
        table[rows - lowest] = np.arange(len(rows))
        return table[self.row - lowest]

    def of_rows(self, rows: Ints) -> Gaps:
        """The gaps of some requests, given by their `Columns.row` in ascending order."""
        rows = rows.astype(self.row.dtype)  # else all of these would be made as wide as it
        low = np.searchsorted(self.row, rows, side="left")
        high = np.searchsorted(self.row, rows, side="right")
        # Neighbouring requests (those of a block) are one stretch of gaps.
        begins = np.flatnonzero(np.append(True, low[1:] != high[:-1])[: len(rows)])
        ends = np.append(begins[1:], len(rows))[: len(begins)] - 1
        parts = [slice(low[b], high[e]) for b, e in zip(begins, ends, strict=True)]
        if len(parts) == 1:
            return Gaps(self.seconds[parts[0]], self.row[parts[0]])
        return Gaps(
            np.concatenate([np.zeros(0), *(self.seconds[p] for p in parts)]),
            np.concatenate([np.zeros(0, np.int32), *(self.row[p] for p in parts)]),
        )


@dataclass(frozen=True, slots=True)
class Streams:
    """The streamed replies that ended well: their gaps are made for those that are asked for.

    All gaps of a large run at once would need several times the memory of all else.

    Attributes:
        records: those the columns were made from.
        columns: all of them.
    """

    records: Records
    columns: Columns

    def gaps_of(self, rows: Ints) -> Gaps:
        """Gaps between the chunks of some replies, from first text to last text.

        Lines before the first text and after the last (the done line without text) are left out:
        what is between them is not the time between two tokens.
        """
        asked = self.columns.select(rows)
        rows = rows[asked.ok & asked.stream]
        # Room for every stamp from the start: pieces to be joined would be in memory twice.
        room = int(self.records.columns.stamps_count[rows].sum())
        seconds, row, filled = np.empty(room), np.empty(room, np.int32), 0
        for begin in range(0, len(rows), _GAP_BATCH):
            part = self._unpack(rows[begin : begin + _GAP_BATCH])
            place = slice(filled, filled := filled + len(part.row))
            seconds[place], row[place] = part.seconds, part.row
        return Gaps(seconds[:filled], row[:filled])

    def in_batches(self) -> Iterator[tuple[Ints, Gaps]]:
        """All rows, some at a time, with their gaps."""
        for begin in range(0, len(self.columns), _GAP_BATCH):
            rows = self.columns.row[begin : begin + _GAP_BATCH]
            yield rows, self.gaps_of(rows)

    def _unpack(self, rows: Ints) -> Gaps:
        read, columns = self.records.columns, self.columns.select(rows)
        lengths, begins = read.stamps_count[rows], read.stamps_from[rows]
        starts = np.cumsum(lengths) - lengths
        owner = np.repeat(np.arange(len(rows)), lengths)
        gaps = read.stamps.at(np.arange(lengths.sum()) + np.repeat(begins - starts, lengths))
        sums = np.cumsum(gaps)
        before = np.concatenate(([0], sums))[starts]
        since_sent = sums - np.repeat(before, lengths)
        first = np.repeat(columns.first_text_ns - columns.sent_ns, lengths)
        last = np.repeat(columns.last_text_ns - columns.sent_ns, lengths)
        # A comparison with NaN is False: replies without text have no gaps.
        # Lines that came in the same read as the first text share its stamp, but follow it.
        follows = _follows_in_same_read(since_sent, first, owner)
        inside = ((since_sent > first) | follows) & (since_sent <= last)
        kept = np.flatnonzero(inside)
        kept = kept[~_is_done_line(gaps[kept], owner[kept], columns.text_chunks)]
        return Gaps(gaps[kept] / _NS, rows[owner[kept]].astype(np.int32))


def _is_done_line(gaps: Ints, owner: Ints, text_chunks: Ints) -> Bools:
    """A done line that came in the same read as the last text: no gap between two texts.

    The count shows it: there is one line more than gaps between chunks of text.
    """
    is_last = np.ones(len(owner), dtype=np.bool_)
    is_last[:-1] = owner[1:] != owner[:-1]
    count = np.bincount(owner, minlength=len(text_chunks))
    return np.asarray(is_last & (gaps == 0) & (count >= text_chunks)[owner], dtype=np.bool_)


def _follows_in_same_read(since_sent: Ints, first: Floats, owner: Ints) -> Bools:
    at_first = since_sent == first
    follows = np.zeros(len(at_first), dtype=np.bool_)
    follows[1:] = at_first[1:] & at_first[:-1] & (owner[1:] == owner[:-1])
    return follows
