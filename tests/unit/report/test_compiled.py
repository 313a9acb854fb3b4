"""Compiled templates are kept beside them, where that is possible and wanted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from bench.report.html import KeptTemplates


def rendered(folder: Path) -> str:
    environment = Environment(
        loader=FileSystemLoader(folder), bytecode_cache=KeptTemplates(folder), autoescape=True
    )
    return environment.get_template("page.j2").render(name="<b>")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "page.j2").write_text("Hello {{ name }}")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def kept(folder: Path) -> list[Path]:
    return list((folder / "__pycache__").glob("*"))


def test_a_template_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rendered(folder)
    assert len(kept(folder)) == 1

    def compiling(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(Environment, "compile", compiling)
    assert rendered(folder) == first == "Hello &lt;b&gt;"


def test_a_changed_template_is_compiled_again(folder: Path) -> None:
    rendered(folder)
    (folder / "page.j2").write_text("Bye {{ name }}")
    assert rendered(folder) == "Bye &lt;b&gt;"


@pytest.mark.parametrize("content", [b"", b"j2", b"\x00" * 300])
def test_damaged_files_are_made_anew(folder: Path, content: bytes) -> None:
    rendered(folder)
    (file,) = kept(folder)
    whole = file.read_bytes()
    file.write_bytes(content)
    assert rendered(folder) == "Hello &lt;b&gt;"
    assert file.read_bytes() == whole


def test_nothing_is_kept_where_python_keeps_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(folder) == "Hello &lt;b&gt;"
    assert kept(folder) == []


def test_a_folder_that_takes_no_files_is_no_error(folder: Path) -> None:
    (folder / "__pycache__").write_text("in the way")
    assert rendered(folder) == "Hello &lt;b&gt;"
