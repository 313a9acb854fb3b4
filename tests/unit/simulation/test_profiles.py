"""Profiles: the shipped ones, and mistakes in one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import EngineError
from bench.simulation.profile import load_profile, shipped_profiles


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_are_marked_and_have_every_kind_of_model(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.invented
    assert "invented" in profile.description
    capabilities = [model.capabilities for model in profile.models]
    assert any("thinking" in c for c in capabilities)
    assert ("embedding",) in capabilities
    assert any(model.language == "zh" for model in profile.models)
    pairs = [
        (a, b)
        for a in profile.models
        for b in profile.models
        if (a.family, a.parameters) == (b.family, b.parameters) and a.quantization != b.quantization
    ]
    assert pairs
    assert len({model.digest for model in profile.models}) == len(profile.models)
    assert len({model.name for model in profile.models}) == len(profile.models)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    from bench.simulation.profile import _SHIPPED

    path = tmp_path / "mine.yaml"
    path.write_text((_SHIPPED / "test.yaml").read_text())
    assert load_profile(path) == load_profile("test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("step_ms: 2", "step_ms: fast"), "Expected `float`, got `str`"),
        (("    family: llama\n", ""), "missing required field `family`"),
        (("capabilities: [completion, tools]", "capabilities: [completion, tools"), "is not YAML"),
        (("step_ms: 2", "step_ms: -2"), "$.models[0].step_ms"),
        (("step_ms: 2", "step_ms: .inf"), "$.models[0].step_ms"),
        (("layers: ", "layers: -"), "$.models[0].layers"),
        (("prefill_tok_per_s: ", "prefill_tok_per_s: -"), "$.models[0].prefill_tok_per_s"),
        (("parameters: ", "parameters: .nan # "), "$.models[0].parameters"),
        (("num_parallel: 1", "num_parallel: 0"), "$.num_parallel"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    from bench.simulation.profile import _SHIPPED

    path = tmp_path / "mine.yaml"
    path.write_text((_SHIPPED / "test.yaml").read_text().replace(*change, 1))
    with pytest.raises(EngineError) as info:
        load_profile(path)
    assert words in str(info.value)
    assert "mine.yaml" in str(info.value)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(EngineError, match="Did you mean 'gpu-12gb'"):
        load_profile("gpu12gb")


def test_what_does_not_fit_on_the_gpu_spills() -> None:
    profile = load_profile("gpu-12gb")
    assert profile.gpu_share(6_000_000_000, 0) == 1.0
    assert profile.gpu_share(16_000_000_000, 0) == 0.75
    assert profile.gpu_share(6_000_000_000, 9_000_000_000) == 0.5
