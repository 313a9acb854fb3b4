"""Options: types, precedence, and what decides about loading."""

from __future__ import annotations

import pytest

from bench.server.engine import EngineFailure, ModelCard, ModelDetails
from bench.server.eras import era_of
from bench.server.options import load_options, merged, sampling

NEW, OLD = era_of("0.32.15"), era_of("0.24.0")


def card(**changes: object) -> ModelCard:
    values = {
        "name": "m:latest",
        "digest": "d",
        "size": 1,
        "modified_at": "2026-01-01T00:00:00Z",
        "details": ModelDetails(),
        "context_length": 8192,
        "embedding_length": 64,
    }
    return ModelCard(**(values | changes))


def test_the_request_overrides_the_model_which_overrides_the_defaults() -> None:
    model = card(default_options={"temperature": 0.2, "top_k": 5, "stop": ["x"]})
    options = merged(model, {"top_k": 7, "unknown": 1, "seed": None}, NEW)
    assert (options["temperature"], options["top_k"], options["top_p"]) == (0.2, 7, 0.9)
    assert (options["stop"], options["seed"]) == (("x",), -1)
    assert "unknown" not in options


def test_the_default_repeat_penalty_changed_with_the_version() -> None:
    assert merged(card(), {}, NEW)["repeat_penalty"] == 1.0
    assert merged(card(), {}, OLD)["repeat_penalty"] == 1.1


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("num_ctx", "many", "integer"),
        ("num_ctx", True, "integer"),
        ("temperature", "hot", "float32"),
        ("use_mmap", 1, "boolean"),
        ("stop", "x", "array"),
    ],
)
def test_wrong_types_are_errors_of_the_server(option: str, value: object, kind: str) -> None:
    with pytest.raises(EngineFailure, match=f'option "{option}" must be of type {kind}') as info:
        merged(card(), {option: value}, NEW)
    assert info.value.status == 500


def test_fractions_are_cut() -> None:
    assert merged(card(), {"num_predict": 7.9}, NEW)["num_predict"] == 7


def test_loading() -> None:
    def load(requested: dict, model: ModelCard | None = None, parallel: int = 4):
        options = merged(model or card(), requested, NEW)
        return load_options(options, model or card(), num_ctx=4096, parallel=parallel, shift=True)

    assert load({}) == load({"temperature": 1, "num_predict": 5, "num_thread": 0, "num_gpu": -1})
    assert load({}) != load({"num_thread": 2})
    assert load({}).num_ctx == 4096
    assert load({"num_ctx": 10**6}).num_ctx == 8192
    assert load({"num_ctx": 1}).num_ctx == 4
    assert load({}).parallel == 4
    assert load({}, card(serial=True)).parallel == 1
    assert load({}, card(capabilities=("embedding",))).parallel == 1
    assert "num_ctx" not in sampling(merged(card(), {"num_ctx": 5}, NEW))
