"""Odd characters and numbers in a prompt file: they are read as Ollama reads them, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scenario.promptfile import read_prompt_file


def test_half_a_character_is_read_as_ollama_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "a\\ud83d b \\ud83d\\ude00", "system": "\\udc00"}\n"\\ud800"\n')
    first, second = read_prompt_file(file)
    assert first == {"prompt": "a\ufffd b 😀", "system": "\ufffd"}
    assert second == {"prompt": "\ufffd"}


@pytest.mark.parametrize("line", ["[" * 100_000, '{"prompt": ' + "9" * 5000 + "}"])
def test_what_cannot_be_read_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(f'"good"\n{line}\n')
    with pytest.raises(ValueError, match=r"p\.jsonl:2: cannot be read"):
        read_prompt_file(file)
