"""The records of a run without an object for each: numbers in columns, and lines read when asked.

A record with its stamps is some 4 kB of Python objects, so a run of a million requests would need
more memory than a laptop has beside a model. `Records` keeps what analysis reads of every request
as arrays (some 0.25 kB, and 4 bytes for each chunk) and the place of its line in the journal; a
record that is asked for is read again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, compress, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from bench.errors import ResultsError
from bench.files import open_file
from bench.results.one_value import kept, picked
from bench.results.record import (
    BOUND,
    RequestRecord,
    decode_lines,
    decode_unbounded,
    is_bounded,
)
from bench.wire.exchange import ServerTimings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE = ("block", "index", "worker", "chunks", "text_chunks", "coalesced", "answer_chars",
         "thinking_chars", "stream", "flags")  # fmt: skip
"""Fields that are always there: columns of whole numbers."""
OPTIONAL = ("user", "planned_ns", "sent_ns", "connect_ns", "headers_ns", "first_thinking_ns",
            "first_answer_ns", "last_text_ns", "end_ns", "target_input_tokens", "num_predict",
            "status", "turn", "gap_ns", "inputs", "images", "server.total_duration",
            "server.load_duration",
            "server.prompt_eval_duration", "server.eval_duration", "server.prompt_eval_count",
            "server.prompt_eval_cached_count", "server.eval_count")  # fmt: skip
"""Fields that may be absent, which is NaN: nanoseconds and counts, exact up to 2^53."""
NAMES = ("case", "phase", "outcome", "model", "answered_by", "done_reason", "error",
         "session", "thread", "step")  # fmt: skip
"""Texts of which many requests share one: numbered, in the order in which they came."""

_PIECE = 4096
"""Records that are objects at the same time; so few are kept as such."""
_COUNTERS = frozenset(f.name for f in fields(ServerTimings))
_BIG = 2**32 - 1
"""Stands in `Stamps._small` for a number that does not fit there."""


class Stamps:
    """`RequestRecord.chunk_gaps_ns` of many requests, 4 bytes each where it is below 4.3 s."""

    def __init__(self) -> None:
        self._small = array("I")
        self._big_at, self._big = array("q"), array("q")

    def extend(self, values: Ints) -> None:
        """Add the gaps of further requests."""
        fits = (values >= 0) & (values < _BIG)
        at = np.flatnonzero(~fits)
        self._big_at.extend((at + len(self._small)).tolist())
        self._big.extend(values[at].tolist())
        self._small.frombytes(np.where(fits, values, _BIG).astype(np.uint32).tobytes())

    def at(self, places: Ints) -> Ints:
        """The gaps at some places of all, counted from 0; nanoseconds."""
        values = np.frombuffer(self._small, dtype=np.uint32)[places].astype(np.int64)
        big = np.flatnonzero(values == _BIG)
        if len(big):
            known = np.frombuffer(self._big_at, dtype=np.int64)
            values[big] = np.frombuffer(self._big, np.int64)[np.searchsorted(known, places[big])]
        return values


@dataclass(slots=True)
class RecordColumns:
    """Fields of many records, one row a record.

    Attributes:
        whole, optional: by the names of `WHOLE` and `OPTIONAL`.
        names: by those of `NAMES`: numbers of texts, and the texts.
        prompt: equal for equal prompts, nonce included; -1 where the identity is unknown.
        no_numbers: (row, name) of the server's counters that were sent, but are no whole numbers.
        stamps: of all chunks; those of a row begin at `stamps_from` and are `stamps_count`.
    """

    whole: dict[str, Ints]
    optional: dict[str, Floats]
    names: dict[str, tuple[Ints, list[str]]]
    prompt: Ints
    no_numbers: list[tuple[int, str]]
    stamps: Stamps
    stamps_from: Ints
    stamps_count: Ints

    def reorder(self, rows: Ints) -> None:
        """Keep some rows, in the order given; the stamps stay where they are."""
        place = np.full(len(self.prompt), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        # One after the other: all at once would be in memory twice.
        for name in self.whole:
            self.whole[name] = picked(self.whole[name], rows)
        for name in self.optional:
            self.optional[name] = picked(self.optional[name], rows)
        for name, (codes, texts) in self.names.items():
            self.names[name] = picked(codes, rows), texts
        self.prompt, self.stamps_from = self.prompt[rows], self.stamps_from[rows]
        self.stamps_count = picked(self.stamps_count, rows)
        self.no_numbers = [(int(place[r]), name) for r, name in self.no_numbers if place[r] >= 0]


@dataclass(slots=True)
class _Building:
    """Columns while records come."""

    # Growing buffers: arrays of pieces would be in memory twice when they are joined.
    held: dict[str, bytearray] = field(default_factory=dict)
    codes: dict[str, dict[str, int]] = field(default_factory=lambda: {n: {} for n in NAMES})
    no_numbers: list[tuple[int, str]] = field(default_factory=list)
    stamps: Stamps = field(default_factory=Stamps)
    rows: int = 0

    def add(self, records: Sequence[RequestRecord]) -> None:
        """Take the fields of further records.

        Raises:
            ValueError, OverflowError: a number that arrays do not hold; nothing was taken.
        """
        if not records:
            return
        whole = zip(*map(attrgetter(*WHOLE), records), strict=True)
        optional = zip(*map(attrgetter(*OPTIONAL), records), strict=True)
        names = zip(*map(attrgetter(*NAMES), records), strict=True)
        lengths = np.fromiter((len(r.chunk_gaps_ns) for r in records), np.int64, len(records))
        gaps = chain.from_iterable(r.chunk_gaps_ns for r in records)
        stamps = np.fromiter(gaps, dtype=np.int64, count=int(lengths.sum()))
        numbers: dict[str, NDArray[Any]] = {
            **{n: np.array(v, dtype=np.int64) for n, v in zip(WHOLE, whole, strict=True)},
            # The dtype turns None into NaN.
            **{n: np.array(v, dtype=np.float64) for n, v in zip(OPTIONAL, optional, strict=True)},
        }
        # The server's own are judged later, and floats hold them.
        ours = [values for name, values in numbers.items() if not name.startswith("server.")]
        if any((np.abs(values) >= BOUND).any() for values in (*ours, stamps)):
            raise ValueError("a number without bounds")
        texts = {n: self._codes(n, v) for n, v in zip(NAMES, names, strict=True)}
        prompt = np.fromiter(map(_prompt, records), np.int64, len(records))
        for name, values in {**numbers, **texts, "prompt": prompt, "stamps": lengths}.items():
            self.held.setdefault(name, bytearray()).extend(values.tobytes())
        self.stamps.extend(stamps)
        for row, record in enumerate(records, self.rows):
            if record.other_fields:
                self.no_numbers += [(row, n) for n in record.other_fields if n in _COUNTERS]
        self.rows += len(records)

    def _codes(self, name: str, texts: tuple[str | None, ...]) -> NDArray[np.int32]:
        known = self.codes[name]
        for text in dict.fromkeys(texts):
            known.setdefault(text or "", len(known))
        return np.array([known[text or ""] for text in texts], dtype=np.int32)

    def made(self) -> RecordColumns:
        """The columns of all, once."""
        counts = self._joined("stamps", np.int64)
        return RecordColumns(
            {name: self._joined(name, np.int64) for name in WHOLE},
            {name: self._joined(name, np.float64) for name in OPTIONAL},
            {name: (self._joined(name, np.int32), list(self.codes[name])) for name in NAMES},
            self._joined("prompt", np.int64),
            self.no_numbers,
            self.stamps,
            np.cumsum(counts) - counts,
            counts,
        )

    def _joined(self, name: str, dtype: type) -> NDArray[Any]:
        # Copied one after the other: growing buffers have room to spare.
        return kept(np.frombuffer(self.held.pop(name, b""), dtype=dtype))


def _prompt(record: RequestRecord) -> int:
    """A number that equal prompts share: two of a million differ but for a chance of 1 in 10^7."""
    return hash((record.nonce, record.prompt_sha256)) & (2**63 - 1) if record.prompt_sha256 else -1


class _LinesOfFile:
    """The records of a journal, by the places of their lines: begin and length in bytes."""

    def __init__(self, path: Path, places: array[int]) -> None:
        self._path = path
        self._places = np.frombuffer(places, dtype=np.int64).reshape(-1, 2)

    def read(self, rows: Ints) -> Iterator[RequestRecord]:
        try:
            with open_file(self._path) as file:
                for begin, length in self._places[rows].tolist():
                    yield _line_at(file, begin, length)
        except (OSError, ValueError) as error:
            raise ResultsError(f"cannot read {self._path} again: {error}") from error


def _line_at(file: BinaryIO, begin: int, length: int) -> RequestRecord:
    """The record of a line that was read before, when its numbers were found to have bounds."""
    file.seek(begin)
    return decode_unbounded(file.read(length))


class Records(Sequence[RequestRecord]):
    """Records by position, as a list of them would be, and their columns.

    Attributes:
        columns: one row a record.
        memo: what was computed from all of them, for those who ask again.
    """

    def __init__(
        self, columns: RecordColumns, source: list[RequestRecord] | _LinesOfFile, rows: Ints
    ) -> None:
        self.memo: dict[Any, Any] = {}
        self.columns = columns
        self._source = source
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> RequestRecord: ...
    @overload
    def __getitem__(self, at: slice) -> list[RequestRecord]: ...
    def __getitem__(self, at: int | slice) -> RequestRecord | list[RequestRecord]:
        if isinstance(at, slice):
            return list(self._read(self._rows[at]))
        return next(self._read(self._rows[[at]]))

    def __iter__(self) -> Iterator[RequestRecord]:
        return self._read(self._rows)

    def read(self, positions: Ints) -> Iterator[RequestRecord]:
        """Some records, in the order given."""
        return self._read(self._rows[positions])

    def _read(self, rows: Ints) -> Iterator[RequestRecord]:
        if isinstance(self._source, _LinesOfFile):
            return self._source.read(rows)
        return map(self._source.__getitem__, rows.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def named(self, name: str) -> tuple[Ints, list[str]]:
        """The numbers of a text of `NAMES`, one a row, and the texts that they stand for."""
        return self.columns.names[name]

    def keep(self, rows: Ints) -> None:
        """Drop all but some records; the others stand in the order given."""
        self.columns.reorder(rows)
        self._rows = self._rows[rows]
        self.memo.clear()

    def in_order(self) -> Records:
        """Brings them in the order of blocks, phases and requests, not that in which they ended."""
        codes, names = self.named("phase")
        phase = np.argsort(np.argsort(names))[codes] if names else codes
        whole = self.columns.whole
        order = np.lexsort((whole["worker"], whole["index"], phase, whole["block"]))
        if not (np.diff(order) == 1).all():
            self.keep(order)
        return self


def records_of(records: Iterable[RequestRecord]) -> Records:
    """Records that are in memory."""
    if isinstance(records, Records):
        return records
    kept = list(records)
    building = _Building()
    for begin in range(0, len(kept), _PIECE):
        building.add(kept[begin : begin + _PIECE])
    return Records(building.made(), kept, np.arange(len(kept)))


def read_lines(path: Path, every: int = 1) -> tuple[Records, int, bool]:
    """The records of a file of lines, those that can be read.

    `every`: one line in so many.

    Returns:
        The records; how many lines could not be read; whether the last of these has no end.

    Raises:
        OSError: the file cannot be read.
    """
    building, places = _Building(), array("q")
    piece: list[RequestRecord] = []
    torn, cut, begin, number = 0, False, 0, 0
    with open_file(path) as file:
        while lines := list(islice(file, _PIECE)):
            torn += _add(building, piece, places)
            lengths = np.fromiter(map(len, lines), np.int64, len(lines))
            begins = begin + np.cumsum(lengths) - lengths
            asked = np.arange(-number % every, len(lines), every)
            piece, bad = decode_lines(lines[asked[0] :: every] if len(asked) else [])
            torn += len(bad)
            cut = not lines[asked[bad[-1]]].endswith(b"\n") if bad else cut
            read = np.delete(asked, bad)
            places.frombytes(np.column_stack((begins[read], lengths[read])).tobytes())
            begin, number = begin + int(lengths.sum()), number + len(lines)
    torn += _add(building, piece, places)
    source = piece if building.rows == len(piece) else _LinesOfFile(path, places)
    return Records(building.made(), source, np.arange(building.rows)), torn, cut


def _add(building: _Building, piece: list[RequestRecord], places: array[int]) -> int:
    """Take the records of the newest lines, and say how many of them are none: unbounded ones."""
    try:
        building.add(piece)
        return 0
    except (ValueError, OverflowError):
        good = [is_bounded(record) for record in piece]
        newest = places[-2 * len(piece) :]
        del places[-2 * len(piece) :]
        for row, fine in enumerate(good):
            places.extend(newest[2 * row : 2 * row + 2] if fine else ())
        piece[:] = list(compress(piece, good))
        building.add(piece)
        return good.count(False)
