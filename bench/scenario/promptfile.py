"""Prompts from files.

- `.txt`: one prompt per paragraph, with blank lines between paragraphs. A file without any blank
  line holds one prompt per line. `prompts.split` says which, where it could be either.
- `.jsonl`: one JSON object per line, with `prompt` and optionally `system` and `output_tokens`; a
  bare JSON string stands for its prompt.
- `.csv`, `.tsv`: a header line with the column `prompt` and optionally `system` and
  `output_tokens`; fields end at commas, semicolons or tabs.

Tables may call their columns otherwise (`prompts.columns`), and have others then. Text is in UTF-8,
UTF-16 with its mark, or in what `prompts.encoding` says; else what fits its bytes is taken, and
said.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from bench.files import read_file
from bench.scenario.encodings import Decoded, decoded
from bench.scenario.trace_rows import csv_table, json_lines
from bench.shown import encodable

_KEYS = ("prompt", "system", "output_tokens")
_COUNT = re.compile(r"[0-9]{1,9}")
PromptColumn = Literal["prompt", "system", "output_tokens"]
"""What a column of a table of prompts can be."""
Columns = Mapping[PromptColumn, str] | None
Records = tuple[dict[str, Any], ...]
"""A dict a prompt: `prompt`, and `system` and `output_tokens` where given."""
Split = Literal["lines", "paragraphs"]
"""How a text file is cut into prompts."""


def read_prompt_file(
    path: Path, split: Split | None = None, columns: Columns = None, encoding: str | None = None
) -> Records:
    """Reads the prompts of a file.

    Split, columns and encoding are as in the scenario; None = as the file suggests.

    Raises:
        ValueError: the file or a line of it is wrong or doubtful; the message names file and line.
    """
    kind = path.suffix.lower()
    if kind not in (".txt", ".jsonl", ".ndjson", ".csv", ".tsv"):
        raise ValueError(f"{path.name} is not a .txt, .jsonl, .csv or .tsv file")
    if split is not None and kind != ".txt":
        raise ValueError(f"{path.name} has its own ends of prompts: remove split")
    if columns and kind == ".txt":
        raise ValueError(f"{path.name} is text, without columns: remove columns")
    text = _read(path, encoding).text
    rows: Iterator[tuple[int, Any]] = json_lines(path.name, text.split("\n"))
    if kind in (".csv", ".tsv"):
        rows = _csv(path.name, text, columns)
    elif kind == ".txt":
        rows = _text(path.name, text, split)
    if columns:
        rows = ((line, _mapped(path.name, line, row, columns)) for line, row in rows)
    records = tuple(_checked(path.name, line, record) for line, record in rows)
    if not records:
        raise ValueError(f"{path.name} holds no prompt")
    return records


def reading_notes(path: Path, columns: Columns = None, encoding: str | None = None) -> list[str]:
    """How the bytes of a prompt file were understood, where there was a choice."""
    text = _read(path, encoding)
    notes = [text.note] if text.note else []
    if path.suffix.lower() in (".csv", ".tsv") and (mark := _separator(text.text, columns)) != ",":
        notes.append(f"fields end at {'tabs' if mark == chr(9) else 'semicolons'}")
    if columns:
        notes.append("; ".join(f"{what} from column {name}" for what, name in columns.items()))
    return notes


def prompt_notes(name: str, records: Records, split: Split | None) -> str:
    """What was understood of a prompt file, in words."""
    count = "1 prompt" if len(records) == 1 else f"{len(records):,} prompts"
    how = "one per row"
    if name.lower().endswith(".txt"):
        lines = any("\n" in record["prompt"] for record in records)
        how = "one per line"
        if split == "paragraphs" or lines:
            total = sum(record["prompt"].count("\n") + 1 for record in records)
            how = f"one per paragraph, {total:,} lines"
    lengths = [len(record["prompt"]) for record in records]
    parts = [count, how, f"{min(lengths):,} to {max(lengths):,} characters each"]
    parts += [
        f"{sum(key in record for record in records):,} with their own {key}"
        for key in _KEYS[1:]
        if any(key in record for record in records)
    ]
    twice = len(records) - len({record["prompt"] for record in records})
    return "; ".join([*parts, *([f"{twice:,} repeat another's text"] if twice else [])])


def _read(path: Path, encoding: str | None = None) -> Decoded:
    try:
        return decoded(read_file(path), path.name, encoding)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _text(file: str, content: str, split: Split | None) -> Iterator[tuple[int, Any]]:
    text = content.replace("\r\n", "\n").replace("\r", "\n").strip()
    paragraphs = re.split(r"\n(?:[^\S\n]*\n)+", text)
    if split is None and len(paragraphs) > 1:
        _check_paragraphs(file, [p.splitlines() for p in paragraphs])
    by_paragraph = split == "paragraphs" or (split is None and len(paragraphs) > 1)
    for part in paragraphs if by_paragraph else text.split("\n"):
        if part.strip():
            yield 0, part.strip()


def _check_paragraphs(file: str, paragraphs: Sequence[Sequence[str]]) -> None:
    """Refuses a file that could as well be one prompt per line with a stray blank line in it."""
    lines = [line.strip() for paragraph in paragraphs for line in paragraph if line.strip()]
    whole = sum(map(_stands_alone, lines))
    alone = len(lines) > len(paragraphs) and whole >= _ALONE * len(lines)
    if alone or (len(lines) >= _FEW_BLANKS * len(paragraphs) and _is_a_list(paragraphs)):
        raise ValueError(
            f"{file}: {len(lines):,} prompts, one per line, or {len(paragraphs):,}, separated by "
            "blank lines? Say which with prompts.split: lines or paragraphs"
        )


_ALONE = 0.8
"""Of the lines, that look like prompts of their own, are doubtful."""
_LINE_BREAK = 70
_FEW_BLANKS = 5
"""Lines a paragraph from which on blank lines are so rare that they may be stray."""
_NARROWEST = 20
"""Characters of a line to which an editor may be set."""
_MARKS = "-*#>|{}[]()<\"'`"


def _stands_alone(line: str) -> bool:
    """Whether a line looks like a whole prompt: it ends like one, or begins so and is short.

    Lines of a paragraph that an editor broke are nearly as long as the page, and end anywhere.
    """
    if line[0] in _MARKS:
        return False
    ends = line[-1] in ".?!…。？！"
    return ends or (len(line) < _LINE_BREAK and not line[0].islower() and line[-1].isalnum())


def _is_a_list(paragraphs: Sequence[Sequence[str]]) -> bool:
    """Whether lines of plain words end where no editor would have broken them.

    An editor breaks a line where the next word no longer fits.
    """
    lines = [line for paragraph in paragraphs for line in paragraph]
    if any(line[:1].isspace() or line[:1] in _MARKS for line in lines):
        return False
    width = max(map(len, lines))
    pairs = [pair for paragraph in paragraphs for pair in pairwise(paragraph)]
    full = sum(len(line) + 1 + len(after.split()[0]) > width for line, after in pairs)
    return width < _NARROWEST or full < len(pairs) / 2


def _csv(file: str, content: str, columns: Columns) -> Iterator[tuple[int, Any]]:
    mark = _separator(content, columns)
    names, rows = csv_table(file, io.StringIO(content, newline=""), mark)
    if missing := [c for c in _wanted(columns) if c not in names]:
        there = ", ".join(name[:60] for name in names[:20]) or "none"
        raise ValueError(
            f"{file}:1: the header has no column named {missing[0]}; it has {there}; "
            "prompts.columns says what they are called, e.g. {prompt: question}"
        )
    count = (columns or {}).get("output_tokens", "output_tokens")
    for line, row in rows:
        record: dict[str, Any] = {k: v for k, v in row.items() if v not in (None, "")}
        if _COUNT.fullmatch(record.get(count, "").strip()):
            record[count] = int(record[count])
        yield line, record


def _wanted(columns: Columns) -> list[str]:
    """Columns that must be there."""
    return list(columns.values()) if columns else ["prompt"]


def _separator(content: str, columns: Columns) -> str:
    """What fields end at: with which the header has the columns that must be there."""
    wanted, header = set(_wanted(columns)), content.split("\n", 1)[0]
    for mark in (",", ";", "\t"):
        with contextlib.suppress(csv.Error, StopIteration):
            names = next(csv.reader([header.strip("\r\ufeff")], delimiter=mark))
            if wanted <= {name.strip() for name in names}:
                return mark
    return max(",;\t", key=header.count)


def _mapped(file: str, line: int, row: Any, columns: Mapping[PromptColumn, str]) -> Any:
    """A row with our names for its columns; those that are not named are left out."""
    if not isinstance(row, dict):
        return row
    if columns["prompt"] not in row:
        there = ", ".join(str(name)[:60] for name in list(row)[:20]) or "none"
        raise ValueError(
            f"{file}:{line}: prompt ({columns['prompt']}) is missing or empty; there are {there}"
        )
    return {what: row[name] for what, name in columns.items() if row.get(name) not in (None, "")}


def _checked(file: str, line: int, record: Any) -> dict[str, Any]:
    where = f"{file}:{line}" if line else file
    if isinstance(record, str):
        record = {"prompt": record}
    if not isinstance(record, dict):
        raise ValueError(f"{where}: must be an object with the key prompt, or text")
    if unknown := [key for key in record if key not in _KEYS]:
        raise ValueError(
            f"{where}: unknown key {str(unknown[0])[:60]!r}; known: {', '.join(_KEYS)}; with "
            "prompts.columns, e.g. {prompt: question}, others are left alone"
        )
    if not isinstance(record.get("prompt"), str) or not record["prompt"].strip():
        raise ValueError(f"{where}: prompt is missing or not text")
    if not isinstance(record.get("system", ""), str):
        raise ValueError(f"{where}: system is not text")
    tokens = record.get("output_tokens", 1)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens < 10**9:
        raise ValueError(f"{where}: output_tokens is not a whole number from 1 on")
    return {k: encodable(v) if isinstance(v, str) else v for k, v in record.items()}
