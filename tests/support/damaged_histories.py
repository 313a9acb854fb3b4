"""What may stand in a row of a history, or become of its file."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

from byte_damage import damaged


def damage_history(rng: random.Random, path: Path) -> str:
    """Changes a history in place: a value in a row, or the file."""
    if rng.random() < 0.35:
        name, data = damaged(rng, path.read_bytes())
        path.write_bytes(data)
        return name
    db = sqlite3.connect(path)
    table = rng.choice(("runs", "cases", "cases", "tags"))
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = rng.choice(columns)
    odd: Any = rng.choice(
        (
            *(None, 5, -1, 1.5, 2**62, "", "x", "a\x1b[31m", b"\xff\xfe", b"{", b"[" * 100_000),
            *(b'{"ttft_s.p50": [1e400]}', b'{"ttft_s.p50": 5}', b'{"ttft_s.p50": ["a"]}'),
            *(b'{"ttft_s.p50": [-1, null, 1e308]}', b'{"x": [1,2,3]}', b"{}", "y" * 100_000),
        )
    )
    value = "CAST(x'ff41fe' AS TEXT)" if rng.random() < 0.1 else "?"
    where = " WHERE rowid = 1" if rng.random() < 0.7 else ""
    db.execute("PRAGMA ignore_check_constraints = 1")
    try:
        db.execute(f"UPDATE {table} SET {column} = {value}{where}", (odd,) if value == "?" else ())
        db.commit()
    except sqlite3.DatabaseError:
        pass
    db.close()
    return f"{table}.{column}"
