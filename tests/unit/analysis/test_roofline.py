"""Bytes of a token, roofs and shares, against figures of the file, the maker and the sheet."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from machine_runs import block, data, info

from bench.analysis.run.machine_checks import machine_warnings
from bench.analysis.run.roofline import roofline, sequences_of, share_metric, share_values
from bench.analysis.run.summary import Estimate, Metric, Roofline
from bench.ollama.replies import parse_show
from bench.ollama.weights import tensor_bytes, weight_reads
from bench.results.run import ModelInfo
from bench.telemetry.gpu_bandwidth import card_bandwidth, known_bandwidth

RECORDED = Path(__file__).parents[2] / "recordings/ollama-0.32.15/show.json"
GB = 1e9
LLAMA = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.embedding_length": 576,
}


def tensor(name, kind, *shape):
    return {"name": name, "type": kind, "shape": shape}


def test_a_recorded_models_bytes_are_the_files():
    exchange = json.loads(RECORDED.read_text())
    body = "".join(c["data"] for c in exchange["response"]["chunks"]).encode()
    weights = parse_show(body).weights
    assert weights is not None
    told = json.loads(body)
    assert weights.active_parameters == told["model_info"]["general.parameter_count"]
    assert weights.dense_bytes == weights.total_bytes  # its embeddings are its output, too


def test_bytes_of_types():
    assert tensor_bytes("Q4_K", (256, 10)) == 1440
    assert tensor_bytes("q8_0", (32, 3)) == 102
    assert tensor_bytes("WHAT", (1,)) is None
    assert weight_reads([tensor("a", "WHAT", 4)], {}) is None
    assert weight_reads([], {}) is None
    assert weight_reads([{"name": 3}], {}) is None


def test_every_type_is_as_gguf_says():
    import gguf

    for kind, (elements, size) in gguf.GGML_QUANT_SIZES.items():
        found = tensor_bytes(kind.name, (elements,))
        assert found in (None, size), kind


def test_untied_embeddings_and_encoders_are_not_read():
    tensors = [
        tensor("token_embd.weight", "F16", 100, 10),
        tensor("output.weight", "F16", 100, 10),
        tensor("blk.0.attn_q.weight", "F16", 10, 10),
        tensor("v.patch_embd.weight", "F16", 1000, 10),
    ]
    found = weight_reads(tensors, {})
    assert found is not None and found.dense_bytes == 2000 + 200
    assert weight_reads(tensors[:1] + tensors[2:], {}).dense_bytes == 2000 + 200


def test_a_token_reads_its_experts_and_a_batch_reads_more():
    moe = {"general.architecture": "moe", "moe.expert_count": 8, "moe.expert_used_count": 2}
    tensors = [
        tensor("blk.0.ffn_gate_exps.weight", "F16", 10, 10, 8),
        tensor("blk.0.ffn_gate_shexp.weight", "F16", 10, 10),
    ]
    found = weight_reads(tensors, moe)
    assert found is not None
    assert found.bytes_read(1) == pytest.approx(200 + 1600 / 4)
    assert found.bytes_read(2) == pytest.approx(200 + 1600 * (1 - 0.75**2))
    assert found.active_parameters == 100 + 200
    assert weight_reads(tensors, {"general.architecture": "moe"}) is None


def test_bandwidth_of_cards():
    found = card_bandwidth("NVIDIA GeForce RTX 3090", 384, 9751, 9501)
    assert found is not None
    assert found.peak == pytest.approx(936 * GB, rel=0.001)
    assert found.reachable == pytest.approx(912 * GB, rel=0.001)
    assert "maker" not in found.source
    other = card_bandwidth("NVIDIA GeForce RTX 4090", 384, 9000, 9000)
    assert other is not None and "1,008 GB/s" in other.source  # formula and table differ
    assert known_bandwidth("NVIDIA GeForce RTX 5090 D v2") is None  # never by a part of the name
    assert known_bandwidth("Apple M4 Max") is None  # 546 or 410
    assert known_bandwidth("AMD Radeon RX 7900 XTX") == 960 * GB
    gb10 = card_bandwidth("NVIDIA GB10", 0, None, None)
    assert gb10 is not None and gb10.reachable == 273 * GB
    assert card_bandwidth("Unknown", 384, 9751, None) is None  # an idle clock tells nothing


SPEED = {"threads": 1, "bytes_per_s": 38.6 * GB, "spread": 0.02}


def case(blocks, weights_mb, prompt=400, output=224, **settings):
    found = data(blocks, [100.0] * len(blocks))
    n = 4
    found.ok = SimpleNamespace(
        prompt_tokens=np.full(n, float(prompt)),
        output_tokens=np.full(n, float(output)),
        end_ns=np.arange(1, n + 1) * 2e9,
        eval_ns=np.full(n, 1e9),
    )
    found.target.settings = settings
    read = round(weights_mb * 1e6)
    found.model = ModelInfo("here", "m:1b", family="llama", parameter_size="135M", model_info=LLAMA)
    found.model = SimpleNamespace(
        **{
            "family": "llama",
            "parameter_size": "135M",
            "model_info": LLAMA,
            "weights": weight_reads([tensor("x", "I8", read)], {}),
        }
    )
    return found


def metrics(rate, prefill=None):
    told = {"decode_tok_per_s": Estimate(rate, rate * 0.98, rate * 1.02, method="t")}
    found = {id: Metric(id, "tok/s", 4, {"value": e}) for id, e in told.items()}
    stats = {"value": Estimate(prefill)} if prefill else {}
    return found | {"prefill_tok_per_s": Metric("prefill_tok_per_s", "tok/s", 4, stats)}


@pytest.mark.parametrize(("mb", "ms"), [(269.1, 11.99), (143.0, 9.12), (103.7, 8.89)])
def test_the_worked_example(mb, ms):
    """F16, Q8_0 and Q4_K_M of SmolLM2 on one core: 58, 41 and 30 %, and the cache's 4 to 13 %."""
    one = case([block(gpu_share=0.0)], mb)
    rate = metrics(1e3 / ms, 500.0)
    found = roofline(info(memory_bandwidth=[SPEED]), one, [0.0], rate)
    assert isinstance(found, Roofline)
    cache = 30 * 3 * 128 * 2 * 512
    assert found.bytes_per_step == pytest.approx(mb * 1e6 + cache)
    assert found.share == pytest.approx((mb * 1e6 + cache) / 38.6e9 / (ms / 1e3))
    share = share_metric(found, rate["decode_tok_per_s"].stats["value"]).stats["value"]
    assert share.low == pytest.approx(found.share * 0.98 * 0.98)
    assert share.high == pytest.approx(found.share * 1.02 * 1.02)
    assert found.growth == pytest.approx(500 * ms / 1e3)
    assert share_values(found, {3: 1e3 / ms}) == {3: pytest.approx(found.share)}


def test_above_the_roof_there_is_a_warning_and_no_share():
    one = case([block(gpu_share=0.0)], 1000)
    found = roofline(info(memory_bandwidth=[SPEED]), one, [0.0], metrics(100.0))
    assert isinstance(found, Roofline) and found.share > 1
    metric = share_metric(found, Estimate(100.0))
    assert metric.n == 0 and "assumed wrong" in metric.note
    assert share_values(found, {0: 100.0}) == {}
    energy = SimpleNamespace(ratio=None)
    assert [w.code for w in machine_warnings(one, energy, found)] == ["above_roof"]


def test_the_type_of_the_cache_counts():
    shared = {"memory_bandwidth": [SPEED]}
    plain, small = (
        roofline(info(**shared), case([block(gpu_share=0.0)], 100, **kv), [0.0], metrics(50.0))
        for kv in ({}, {"OLLAMA_KV_CACHE_TYPE": "q8_0"})
    )
    assert small.kv_bytes_per_token == pytest.approx(plain.kv_bytes_per_token * 17 / 32)
    assert "16 bits" in plain.assumed[0] and small.assumed == ()


def test_a_gpu_by_the_clock_seen_under_load():
    source = {
        "device": "gpu0",
        "product": "NVIDIA GeForce RTX 3090",
        "facts": {"bus_width_bits": 384.0, "memory_clock_max_mhz": 9751.0},
    }
    one = case([block(gpu0_memory_clock_mhz=9501.0)], 5000)
    found = roofline(info(telemetry={"sources": [source]}), one, [1.0], metrics(100.0))
    assert isinstance(found, Roofline)
    assert (found.place, round(found.reachable_bytes_per_s / GB)) == ("GPU", 912)
    assert round(found.peak_bytes_per_s / GB) == 936
    both = roofline(
        info(telemetry={"sources": [source]}, memory_bandwidth=[SPEED]), one, [0.5], metrics(5.0)
    )
    assert isinstance(both, Roofline)
    expected = 1 / (0.5 / (912.1 * GB) + 0.5 / (38.6 * GB))
    assert both.reachable_bytes_per_s == pytest.approx(expected, rel=0.001)


def test_what_is_not_known_is_said():
    one = case([block(gpu_share=0.0)], 100)
    assert "not measured" in roofline(info(), one, [0.0], metrics(50.0))
    assert "GPU is not known" in roofline(info(), one, [1.0], metrics(50.0))
    one.target.same_host = False
    assert "another machine" in roofline(info(), one, [0.0], metrics(50.0))
    one.target.simulated = True
    assert "simulated" in roofline(info(), one, [0.0], metrics(50.0))


def given(gb_per_s, **environment):
    found = info(**environment)
    found.plan.scenario["bandwidth"] = gb_per_s
    return found


def test_a_bandwidth_given_by_the_user_is_marked_and_goes_before_all_others():
    one = case([block(gpu_share=1.0)], 5000)
    found = roofline(given(273), one, [1.0], metrics(20.0))
    assert isinstance(found, Roofline)
    assert (found.place, found.reachable_bytes_per_s, found.source) == (
        "GPU",
        273 * GB,
        "as given by the user",
    )
    one.target.same_host = False  # a server elsewhere, of which nothing else is known
    found = roofline(given(273), one, [], metrics(20.0))
    assert isinstance(found, Roofline)
    assert (found.place, found.reachable_bytes_per_s) == ("memory", 273 * GB)


def test_what_speaks_against_the_user_s_figure_is_named():
    one = case([block(gpu_share=0.0)], 100)
    found = roofline(given(60, memory_bandwidth=[SPEED]), one, [0.0], metrics(50.0))
    assert isinstance(found, Roofline)
    assert found.reachable_bytes_per_s == 60 * GB and found.place == "CPU"
    assert found.source == "as given by the user; measured with 1 thread: 39 GB/s"
    near = roofline(given(39, memory_bandwidth=[SPEED]), one, [0.0], metrics(50.0))
    assert isinstance(near, Roofline) and near.source == "as given by the user"


def test_a_part_on_the_cpu_reads_its_own_memory():
    one = case([block(gpu_share=0.5)], 5000)
    found = roofline(given(1000, memory_bandwidth=[SPEED]), one, [0.5], metrics(5.0))
    assert isinstance(found, Roofline)
    expected = 1 / (0.5 / (1000 * GB) + 0.5 / (38.6 * GB))
    assert found.reachable_bytes_per_s == pytest.approx(expected, rel=0.001)


def test_sequences_that_share_a_step():
    one = case([block()], 100)
    assert sequences_of(one) == 1.0
    one.ok.end_ns = np.array([2e9, 2e9, 4e9, 4e9])
    assert sequences_of(one) == 2.0
