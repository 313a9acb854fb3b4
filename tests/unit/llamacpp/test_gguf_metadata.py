"""What /api/show says comes from the file."""

import hashlib
import os

import gguf
import numpy as np
import pytest

from bench.errors import EngineError
from bench.server.go import human_number
from bench.server.llamacpp.metadata import read_metadata
from bench.server.llamacpp.models import served_models

TEMPLATE = "{{ messages }}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_BENCH_CACHE", str(tmp_path / "cache"))


def write_gguf(path, *, template=TEMPLATE, pooling=False):
    """A file with a complete header and two small tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_context_length(8192)
    writer.add_embedding_length(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_token_list(["a", "b"])
    writer.add_chat_template(template)
    if pooling:
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tensor("token_embd.weight", np.zeros((3, 4), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.zeros(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_metadata_of_a_file(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf")
    metadata = read_metadata(path)
    assert metadata.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert metadata.architecture == "llama"
    assert metadata.number("context_length") == 8192
    assert metadata.number("embedding_length") == 4
    assert metadata.quantization == "Q4_K_M"
    assert metadata.chat_template == TEMPLATE
    assert metadata.tensors == [
        {"name": "token_embd.weight", "type": "F32", "shape": [4, 3]},
        {"name": "output_norm.weight", "type": "F32", "shape": [4]},
    ]
    assert metadata.model_info == {
        "general.architecture": "llama",
        "general.file_type": 15,
        "general.parameter_count": 16,
        "llama.attention.layer_norm_rms_epsilon": 1e-05,
        "llama.context_length": 8192,
        "llama.embedding_length": 4,
        "tokenizer.ggml.tokens": None,
    }
    assert list(metadata.model_info) == sorted(metadata.model_info)


def test_the_second_reading_comes_from_the_cache_until_the_file_changes(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf")
    first = read_metadata(path)
    with monkeypatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", None)
        assert read_metadata(path) == first
    write_gguf(path, template="another, longer template")
    assert read_metadata(path).chat_template == "another, longer template"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (134_515_008, "134.52M"),
        (268_098_176, "268.10M"),
        (3_212_749_888, "3.2B"),
        (8_030_261_312, "8.0B"),
        (7_000_000_000, "7B"),
        (1_043_000_000_000, "1.0T"),
        (22_700, "23K"),
        (16, "16"),
    ],
)
def test_parameter_counts_as_ollama_words_them(count, text):
    assert human_number(count) == text


def test_missing_file(tmp_path):
    with pytest.raises(EngineError, match=r"cannot read the model .*none\.gguf: No such file"):
        read_metadata(tmp_path / "none.gguf")


def test_not_a_gguf_file(tmp_path):
    path = tmp_path / "text.gguf"
    path.write_text("hello")
    with pytest.raises(EngineError, match=r"text\.gguf is not a GGUF file"):
        read_metadata(path)


@pytest.mark.parametrize("kept", [5, 40, 200, -20])
def test_a_file_that_was_cut_off(tmp_path, kept):
    path = write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(EngineError, match=r"tiny\.gguf is damaged or cut off"):
        read_metadata(path)


def test_names_of_models(tmp_path):
    one = write_gguf(tmp_path / "My Model.Q4_1.gguf")
    two = write_gguf(tmp_path / "two.gguf")
    models = served_models([str(one), f"fast={two}", f"hf.co/a/b:q4={two}"], print)
    assert [m.card.name for m in models] == ["My-Model.Q4_1:latest", "fast:latest", "hf.co/a/b:q4"]
    assert [m.path for m in models] == [one, two, two]


def test_two_models_with_one_name(tmp_path):
    path = write_gguf(tmp_path / "a.gguf")
    with pytest.raises(EngineError, match="two models would be called A:latest") as caught:
        served_models([str(path), f"A={path}"], print)
    assert "--model NAME=" in caught.value.advice


def test_an_empty_name(tmp_path):
    with pytest.raises(EngineError, match="the name before = is empty"):
        served_models([f"={tmp_path}/a.gguf"], print)


@pytest.mark.parametrize(
    ("template", "pooling", "capabilities"),
    [
        (TEMPLATE, False, ("completion",)),
        ("{{ content.split('</think>') }}", False, ("completion", "thinking")),
        (TEMPLATE, True, ("embedding",)),
    ],
)
def test_capabilities(tmp_path, template, pooling, capabilities):
    path = write_gguf(tmp_path / "a.gguf", template=template, pooling=pooling)
    (model,) = served_models([str(path)], print)
    assert model.card.capabilities == capabilities


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EngineError, match=r"cannot read the model .*pipe: it is a pipe"):
        read_metadata(tmp_path / "pipe")
