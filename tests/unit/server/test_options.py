"""Options: types, precedence, and what decides about loading."""

from __future__ import annotations

import pytest

from bench.server.engine import EngineFailure, ModelCard, ModelDetails
from bench.server.eras import era_of
from bench.server.options import load_options, merged, needs_reload, sampling

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
        return load_options(
            options, model or card(), NEW, num_ctx=4096, parallel=parallel, shift=True
        )

    assert load({}) == load({"temperature": 1, "num_predict": 5, "num_thread": 0, "num_gpu": -1})
    assert load({}) != load({"num_thread": 2})
    assert load({}).num_ctx == 4096
    assert load({"num_ctx": 10**6}).num_ctx == 8192
    assert load({"num_ctx": 1}).num_ctx == load({"num_ctx": 0}).num_ctx == 4
    assert load({"num_ctx": 1}, card(capabilities=("completion", "vision"))).num_ctx == 2048
    assert load({"num_ctx": 1}).slot_ctx == 256
    assert [load({"num_ctx": n}).batch for n in (1024, 1025, 8192)] == [512, 1024, 1024]
    assert load({"num_ctx": 1000}, card(capabilities=("embedding",))).batch == 1000
    assert load({}).parallel == 4
    assert load({}, card(serial=True)).parallel == 1
    assert load({}, card(capabilities=("embedding",))).parallel == 1
    assert "num_ctx" not in sampling(merged(card(), {"num_ctx": 5}, NEW))


@pytest.mark.parametrize(
    ("loaded", "wanted", "reload"),
    [
        # As a real 0.32.15 did, on a CPU.
        ({}, {"num_batch": 512}, False),
        ({}, {"num_batch": 1024}, True),
        ({"num_batch": 1024}, {}, True),
        ({"num_batch": 512}, {}, False),
        ({}, {"num_gpu": 0}, True),
        ({"num_gpu": 0}, {}, False),
        ({"num_gpu": 0}, {"num_gpu": -5}, False),
        ({"num_gpu": 0}, {"num_gpu": 1}, True),
        ({}, {"use_mmap": False}, False),
        ({}, {"use_mmap": True}, True),
        ({"use_mmap": True}, {}, True),
        ({"use_mmap": False}, {}, True),
        ({}, {"num_thread": 0}, False),
        ({}, {"num_thread": 2}, True),
        ({"num_thread": 2}, {}, True),
        ({}, {"main_gpu": 0}, True),
        ({}, {"draft_num_predict": 0}, False),
        ({}, {"draft_num_predict": 4}, True),
        ({}, {"num_ctx": 4096}, False),
        ({"num_ctx": 8192}, {"num_ctx": 20000}, False),
        ({"num_ctx": 8192}, {}, True),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "num_batch": 1024}, False),
        ({}, {"num_keep": 9, "num_predict": 3, "seed": 4}, False),
    ],
)
def test_what_reloads(
    loaded: dict[str, object], wanted: dict[str, object], *, reload: bool
) -> None:
    first, second = (
        load_options(merged(card(), o, NEW), card(), NEW, num_ctx=4096, parallel=1, shift=True)
        for o in (loaded, wanted)
    )
    assert needs_reload(first, second, on_cpu=True) is reload


def test_shift_reloads_since_llama_server() -> None:
    for era in (NEW, OLD):
        shifting, not_shifting = (
            load_options({}, card(), era, num_ctx=4096, parallel=1, shift=shift)
            for shift in (True, False)
        )
        assert needs_reload(shifting, not_shifting, on_cpu=True) is era.llama_server


def test_on_a_gpu_the_mapping_left_open_is_not_false() -> None:
    left_open, off = (
        load_options(o, card(), NEW, num_ctx=4096, parallel=1, shift=True)
        for o in ({}, {"use_mmap": False})
    )
    assert needs_reload(left_open, off, on_cpu=False)
