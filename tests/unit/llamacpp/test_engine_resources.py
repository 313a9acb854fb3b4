"""Threads and memory: what the engine allows itself."""

import psutil
import pytest

from bench.server.engine import LoadOptions, ModelCard, ModelDetails
from bench.server.llamacpp import engine
from bench.server.llamacpp.engine import needed_bytes
from bench.server.llamacpp.process import _LOGS_KEPT, _buffers, _last_error, _new_log

# SmolLM2-135M: 30 layers, 3 of 9 heads for keys and values, 576 / 9 = 64 wide.
SMOLLM2_INFO = {
    "llama.block_count": 30,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.embedding_length": 576,
}


def card(info):
    return ModelCard(
        name="m:latest",
        digest="",
        size=1000,
        modified_at="",
        details=ModelDetails(family="llama"),
        context_length=8192,
        embedding_length=576,
        model_info=info,
    )


def test_kv_cache_as_llama_cpp_itself_reports_it():
    needed = needed_bytes(card(SMOLLM2_INFO), LoadOptions(num_ctx=2048, parallel=2))
    assert needed == 1000 + 90 * 2**20  # llama.cpp logs "CPU KV buffer size = 90.00 MiB"


def test_explicit_key_and_value_lengths_win():
    info = SMOLLM2_INFO | {
        "llama.attention.key_length": 128,
        "llama.attention.value_length": 32,
        "llama.attention.head_count_kv": None,
    }
    needed = needed_bytes(card(info), LoadOptions(num_ctx=1, parallel=1))
    assert needed == 1000 + 30 * 9 * (128 + 32) * 2


def test_a_file_that_says_nothing_counts_with_its_weights():
    assert needed_bytes(card({}), LoadOptions(num_ctx=2048, parallel=2)) == 1000


@pytest.mark.parametrize(
    ("physical", "logical", "allowed", "quota", "default"),
    [
        *[(8, 16, 16, 16, 7), (8, 16, 4, 4, 1), (2, 2, 2, 2, 1), (1, 1, 1, 1, 1)],
        *[(None, 4, 4, 4, 3), (8, 16, 16, 4, 3), (8, 16, 16, 1, 1), (8, 16, 16, 12, 7)],
    ],
)
def test_one_core_is_left_free(monkeypatch, physical, logical, allowed, quota, default):
    monkeypatch.setattr(
        psutil, "cpu_count", lambda logical=True, n=(logical, physical): n[0 if logical else 1]
    )
    monkeypatch.setattr(engine, "allowed_cpus", lambda: allowed)
    monkeypatch.setattr(engine, "usable_cpus", lambda: min(allowed, quota))
    assert engine.default_threads() == default


LOAD_LOG = """\
0.00.406.031 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.406.040 I load_tensors:        CUDA0 model buffer size =   100.00 MiB
0.00.410.773 I llama_context:        CPU  output buffer size =     0.38 MiB
0.00.410.942 I llama_kv_cache:      CUDA0 KV buffer size =    90.00 MiB
0.00.652.931 I sched_reserve:  CUDA_Host compute buffer size =    16.64 MiB
0.00.652.971 I sched_reserve: graph: nodes = 999
"""


def test_buffers_on_and_off_the_cpu():
    total, off_cpu = _buffers(LOAD_LOG)
    assert total == round((92.10 + 100 + 0.38 + 90 + 16.64) * 2**20)
    assert off_cpu == 190 * 2**20


def test_the_cause_is_found_in_the_log(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "0.00.000.001 I srv          init: initializing ...\n"
        "0.00.004.191 E cmn  common_init_: failed to load model 'bad.gguf'\n"
        "0.00.004.576 E srv          init: exiting due to model loading error\n"
    )
    assert _last_error(log) == "cmn  common_init_: failed to load model 'bad.gguf'"
    log.write_text("nothing of interest\n")
    assert _last_error(log) == ""


def test_logs_are_kept_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_BENCH_CACHE", str(tmp_path))
    logs = [_new_log() for _ in range(_LOGS_KEPT + 5)]
    for log in logs:
        log.touch()
    newest = _new_log()
    newest.touch()
    kept = list((tmp_path / "logs").iterdir())
    assert len(kept) == _LOGS_KEPT
    assert newest in kept


def test_without_a_usable_cache_the_log_is_temporary(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OLLAMA_BENCH_CACHE", str(tmp_path / "file"))
    log = _new_log()
    log.touch()
    assert tmp_path not in log.parents
    log.unlink()
    log.parent.rmdir()
