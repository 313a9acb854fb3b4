"""What records say of requests of sessions, of embeddings, of pictures: one row a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.results.one_value import kept
from bench.results.record import CHECKS, FLAGS
from bench.results.records import Records

_STARTS_TURN = ("user", "summary")


@dataclass(frozen=True, slots=True)
class WorkColumns:
    """All arrays of the same length; absent is -1, False or NaN.

    Attributes:
        session, thread: equal for the requests of one, in one block; -1 = it stands alone.
        turn: of its session.
        main: it belongs to the session's main thread.
        starts_turn: it may be the first of a turn: not one that only brings results of tools.
        fresh, last_of_turn, last_of_session, control: see `bench.results.record.RequestRecord`.
        gap_ns: the pause before it.
        inputs, images: texts of an embedding request; pictures.
        valid: 1 = a check found the answer right, 0 = wrong, NaN = it was not made; one column a
            check of `CHECKS`.
    """

    session: NDArray[np.int64]
    thread: NDArray[np.int64]
    turn: NDArray[np.int64]
    main: NDArray[np.bool_]
    starts_turn: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    last_of_turn: NDArray[np.bool_]
    last_of_session: NDArray[np.bool_]
    control: NDArray[np.bool_]
    gap_ns: NDArray[np.float64]
    inputs: NDArray[np.float64]
    images: NDArray[np.float64]
    valid: NDArray[np.float64]

    def __getitem__(self, which: NDArray[Any]) -> WorkColumns:
        return WorkColumns(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


def work_columns(records: Records) -> WorkColumns:
    """The columns of some records, in their order."""
    columns = records.columns
    optional, flags = columns.optional, columns.whole["flags"]
    (case, _), (session, ids) = records.named("case"), records.named("session")
    (thread, threads), (step, steps) = records.named("thread"), records.named("step")
    there = _are(session, ids, lambda text: bool(text))
    block = columns.whole["block"]
    valid = np.broadcast_to(np.nan, (len(records), len(CHECKS)))
    checks = range(len(CHECKS)) if (flags >> len(FLAGS)).any() else ()
    for place in checks:
        valid = valid if valid.flags.writeable else valid.copy()
        made = _bit(flags, len(FLAGS) + 2 * place)
        valid[made, place] = _bit(flags, len(FLAGS) + 2 * place + 1)[made]
    fresh = _bit(flags, 0)
    return WorkColumns(
        session=_numbered(there, case, block, session),
        thread=_numbered(there, case, block, session, thread),
        turn=kept(np.nan_to_num(optional["turn"], nan=-1).astype(np.int64)),
        main=there & _are(thread, threads, lambda text: not text),
        starts_turn=fresh | _are(step, steps, lambda text: text in _STARTS_TURN),
        fresh=fresh,
        last_of_turn=_bit(flags, 1),
        last_of_session=_bit(flags, 2),
        control=_bit(flags, 3),
        gap_ns=optional["gap_ns"],
        inputs=optional["inputs"],
        images=optional["images"],
        valid=valid,
    )


def _bit(flags: NDArray[np.int64], place: int) -> NDArray[np.bool_]:
    return (flags >> place & 1).astype(np.bool_)


def _are(
    codes: NDArray[np.int64], texts: Sequence[str], wanted: Callable[[str], bool]
) -> NDArray[np.bool_]:
    return np.array([*map(wanted, texts), False], dtype=np.bool_)[codes]


def _numbered(there: NDArray[np.bool_], *keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2, ... for each combination of keys; -1 where there is none."""
    found = np.broadcast_to(np.int64(-1), len(there))
    if there.any():
        found = found.copy()
        rows = np.stack([key[there] for key in keys], axis=1)
        found[there] = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    return found
