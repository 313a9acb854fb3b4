"""Prompts from files.

- `.txt`: one prompt per paragraph, paragraphs parted by blank lines. A file without any blank line
  holds one prompt per line.
- `.jsonl`: one JSON object per line, with `prompt` and optionally `system` and `output_tokens`; a
  bare JSON string stands for its prompt.
- `.csv`: a header line with the column `prompt` and optionally `system` and `output_tokens`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_KEYS = ("prompt", "system", "output_tokens")


def read_prompt_file(path: Path) -> tuple[dict[str, Any], ...]:
    """Reads the prompts of a file.

    Returns:
        One dict a prompt: `prompt`, and `system` and `output_tokens` where given.

    Raises:
        ValueError: the file or a line of it is wrong; the message names file and line.
    """
    readers = {".txt": _text, ".jsonl": _jsonl, ".csv": _csv}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path.name} is not a .txt, .jsonl or .csv file")
    records = tuple(_checked(path.name, line, record) for line, record in read(path))
    if not records:
        raise ValueError(f"{path.name} holds no prompt")
    return records


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _text(path: Path) -> Iterator[tuple[int, Any]]:
    text = _read(path).strip()
    split = r"\n[^\S\n]*\n\s*" if re.search(r"\n[^\S\n]*\n", text) else r"\n"
    for part in re.split(split, text):
        if part.strip():
            yield 0, {"prompt": part.strip()}


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path.name}:{number}: is not JSON: {error.msg}") from None
        yield number, {"prompt": value} if isinstance(value, str) else value


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(_read(path), newline=""), strict=True)
    if "prompt" not in (reader.fieldnames or ()):
        raise ValueError(f"{path.name}:1: the header has no column named prompt")
    try:
        for row in reader:
            record: dict[str, Any] = {k: v for k, v in row.items() if v not in (None, "")}
            if None in row:
                raise ValueError(f"{path.name}:{reader.line_num}: more fields than columns")
            if record.get("output_tokens", "").isdigit():
                record["output_tokens"] = int(record["output_tokens"])
            yield reader.line_num, record
    except csv.Error as error:
        raise ValueError(f"{path.name}:{reader.line_num}: {error}") from None


def _checked(file: str, line: int, record: Any) -> dict[str, Any]:
    where = f"{file}:{line}" if line else file
    if not isinstance(record, dict):
        raise ValueError(f"{where}: must be an object with the key prompt, or text")
    unknown = [key for key in record if key not in _KEYS]
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    if not isinstance(record.get("prompt"), str) or not record["prompt"].strip():
        raise ValueError(f"{where}: prompt is missing or not text")
    if not isinstance(record.get("system", ""), str):
        raise ValueError(f"{where}: system is not text")
    tokens = record.get("output_tokens", 1)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ValueError(f"{where}: output_tokens is not a whole number from 1 on")
    return dict(record)
