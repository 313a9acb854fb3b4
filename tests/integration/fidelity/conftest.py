"""A simulated machine whose models have known divergences from their original."""

from __future__ import annotations

import pytest

import bench

MODEL = """
- name: "{name}"
  family: {family}
  parameters: 1.0e9
  quantization: {quantization}
  size_gb: 2.0
  layers: 16
  embedding_length: 2048
  context_length: 8192
  cold_load_s: 0.01
  warm_load_s: 0.01
  prefill_tok_per_s: 1000000
  step_ms: 1
  capabilities: [{capability}]
  divergence: {divergence}
  rounding: {rounding}
"""
MODELS = [
    ("m:f16", "llama", "F16", "completion", 0.0, 0.01),
    ("m:copy", "llama", "F16", "completion", 0.0, 0.01),
    ("m:q8", "llama", "Q8_0", "completion", 0.1, 0.01),
    ("m:q4", "llama", "Q4_K_M", "completion", 0.4, 0.01),
    ("m:q3", "llama", "Q3_K_M", "completion", 0.3, 0.01),
    ("m:q2", "llama", "Q2_K", "completion", 0.6, 0.01),
    ("m:q1", "llama", "IQ1_S", "completion", 1.0, 0.01),
    ("other:f16", "qwen2", "F16", "completion", 0.0, 0.01),
    ("e:f16", "bert", "F16", "embedding", 0.0, 0.0),
]
KEYS = ("name", "family", "quantization", "capability", "divergence", "rounding")


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "planted.yaml"
    models = "".join(MODEL.format(**dict(zip(KEYS, m, strict=True))) for m in MODELS)
    head = "name: planted\ndescription: planted\ninvented: true\ndevice: {description: none}\n"
    path.write_text(f"{head}models:{models}")
    return path


@pytest.fixture(scope="session")
def server(profile):
    with bench.start_server(profile=profile) as running:
        yield running
