"""What the users of sessions wait for: one value a turn, at the row of its last request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.analysis.run.columns import Columns, Floats

_NS = 1e9
_OF_TURNS = ("user_turn_s", "answer_start_s", "tool_pause_s")
_OF_REQUESTS = ("first_turn_ttft_s", "later_ttft_s")


def session_times(columns: Columns, first_text: Floats) -> dict[str, Floats]:
    """Times of sessions; NaN at every row that has none.

    Args:
        columns: requests that were measured and ended well.
        first_text: of each, in nanoseconds from the start of the run.

    Returns:
        Metric id -> one value a row:

        * `first_turn_ttft_s`, `later_ttft_s`: time to the first text of a session's very first
          request, and of all others of its main thread.
        * `user_turn_s`, `answer_start_s`: from the turn's first request to the end, or to the first
          text, of its last answer, less the pauses of tools; at the row of the turn's last request.
          A turn without its first request (it was not measured) has none.
        * `tool_pause_s`: these pauses.
    """
    work = columns.work
    none = np.full(len(columns), np.nan)
    rows = np.flatnonzero(work.main)
    if not len(rows):
        return dict.fromkeys((*_OF_TURNS, *_OF_REQUESTS), none)  # one array: most runs have none
    found = {id: none.copy() for id in _OF_TURNS}
    ttft = (first_text - columns.start_ns) / _NS
    opening = np.zeros(len(columns), dtype=np.bool_)
    order = rows[np.lexsort((columns.sent_ns[rows], work.turn[rows], work.session[rows]))]
    session, turn = work.session[order], work.turn[order]
    new = np.concatenate(([True], (np.diff(session) != 0) | (np.diff(turn) != 0)))
    begins = np.flatnonzero(new)
    ends = np.concatenate((begins[1:], [len(order)])) - 1
    pauses = np.concatenate(([0.0], np.cumsum(np.nan_to_num(work.gap_ns[order]))))
    opener, closer = order[begins], order[ends]
    # A history that a summary made short begins anew, too.
    opening[opener[(work.turn[opener] == 0) & work.fresh[opener]]] = True
    found["first_turn_ttft_s"] = np.where(opening, ttft, np.nan)
    found["later_ttft_s"] = np.where(work.main & ~opening, ttft, np.nan)
    whole = work.starts_turn[opener] & work.last_of_turn[closer]
    opener, closer = opener[whole], closer[whole]
    paused = (pauses[ends + 1] - pauses[begins + 1])[whole]
    begun = columns.start_ns[opener]
    found["user_turn_s"][closer] = (columns.end_ns[closer] - begun - paused) / _NS
    found["answer_start_s"][closer] = (first_text[closer] - begun - paused) / _NS
    found["tool_pause_s"][closer] = paused / _NS
    return found
