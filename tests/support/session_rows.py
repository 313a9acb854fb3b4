"""Writes rows to a file and reads them as sessions."""

import json
from pathlib import Path

from bench.scenario.block_text import shared_tokens
from bench.scenario.session_files import read_sessions
from bench.scenario.sessions import SessionFile, Step


def read_rows(folder: Path, *rows: object, name: str = "t.jsonl", **options) -> SessionFile:
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_sessions(path, **options)


def shared(a: Step, b: Step) -> int:
    return shared_tokens(a.blocks, a.lengths, b.blocks, b.lengths)


def said(file: SessionFile) -> str:
    return "; ".join(file.notes)
