"""The demo model is fetched once, checked always, and never left half done."""

import hashlib
import os
import sys
import zipfile
from dataclasses import replace

import pytest

from bench.errors import EngineError
from bench.server.llamacpp import model_file
from bench.server.llamacpp.model_file import PackagedModel, cache_dir, find_model

CONTENT = b"GGUF and the rest of a tiny model"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with a wheel in it, which is all that pip is allowed to see."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("OLLAMA_BENCH_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def model(index):
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return PackagedModel(
        package="tiny-model",
        version="1.0",
        member="tiny_model/tiny.gguf",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
    )


def remains():
    """Names of everything in the models' folder of the cache."""
    folder = cache_dir() / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.slow
def test_fetched_once_then_read_from_the_cache_without_any_index(model, index, monkeypatch):
    said = []
    path = find_model(model, said.append)
    assert path.read_bytes() == CONTENT
    assert remains() == ["tiny.gguf"]
    assert "tiny.gguf" in said[0]

    monkeypatch.setenv("PIP_FIND_LINKS", str(index / "gone"))
    said.clear()
    assert find_model(model, said.append) == path
    assert said == []


@pytest.mark.slow
def test_a_damaged_file_in_the_cache_is_fetched_again(model):
    path = find_model(model)
    path.write_bytes(CONTENT[:-1])
    said = []
    assert find_model(model, said.append).read_bytes() == CONTENT
    assert "damaged" in said[0]


@pytest.mark.slow
def test_a_wheel_with_another_hash_is_refused_and_nothing_is_kept(model):
    with pytest.raises(EngineError, match=r"tiny_model-1\.0.*must be 0000"):
        find_model(replace(model, wheel_sha256="0000"))
    assert remains() == []


@pytest.mark.slow
def test_a_file_with_another_hash_is_refused_and_nothing_is_kept(model):
    with pytest.raises(EngineError, match=r"tiny\.gguf is not the file it should be"):
        find_model(replace(model, sha256="0000"))
    assert remains() == []


@pytest.mark.slow
def test_a_package_that_cannot_be_had_is_one_clear_message(model):
    with pytest.raises(EngineError, match=r"pip could not fetch tiny-model 2\.0") as caught:
        find_model(replace(model, version="2.0"))
    assert "--model PATH.gguf" in caught.value.advice
    assert remains() == []


@pytest.mark.slow
def test_what_a_killed_fetch_left_is_cleared_away(model):
    abandoned, under_way = (cache_dir() / "models" / name for name in (".fetch-old", ".fetch-new"))
    for folder in (abandoned, under_way):
        folder.mkdir(parents=True)
        (folder / "part.whl").write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    find_model(model)
    assert remains() == [".fetch-new", "tiny.gguf"]


def test_no_pip_in_the_environment(model, monkeypatch):
    real = model_file.importlib.util.find_spec
    monkeypatch.setattr(
        model_file.importlib.util, "find_spec", lambda name: None if name == "pip" else real(name)
    )
    with pytest.raises(EngineError, match="pip is missing") as caught:
        find_model(model)
    assert "ensurepip" in caught.value.advice


@pytest.mark.slow
def test_the_installed_package_is_used_if_its_file_is_right(model, tmp_path, monkeypatch):
    package = tmp_path / "site" / "tiny_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    assert find_model(model) == package / "tiny.gguf"
    assert remains() == []

    (package / "tiny.gguf").write_bytes(b"another")
    assert find_model(model) == cache_dir() / "models" / "tiny.gguf"


def test_a_cache_that_cannot_be_written(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OLLAMA_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match=r"cannot keep the model tiny\.gguf") as caught:
        find_model(model)
    assert "OLLAMA_BENCH_CACHE" in caught.value.advice
