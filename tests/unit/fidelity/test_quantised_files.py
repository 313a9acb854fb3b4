"""The files of the benchmark: llama.cpp's own quantisation, read back by the package `gguf`."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize
from quantised import _type_of, quantised

pytestmark = pytest.mark.real_engine


def relative_error(type_):
    rows = np.random.default_rng(1).normal(0, 0.05, (8, 1536)).astype(np.float32)
    back = dequantize(quantised(rows, type_), type_)
    return float(np.sqrt(((back - rows) ** 2).mean()) / rows.std())


def test_each_type_is_coarser_than_the_one_before():
    types = (Type.Q8_0, Type.Q6_K, Type.Q5_K, Type.Q4_K)
    errors = [relative_error(t) for t in types]
    assert errors == sorted(errors)
    assert errors[0] < 0.01 and 0.03 < errors[-1] < 0.12


def test_rows_that_do_not_divide_by_256_fall_back_as_in_llama_cpp():
    narrow, wide = np.zeros((4, 576)), np.zeros((4, 1536))
    assert _type_of("blk.5.attn_q.weight", narrow, "Q4_K_M", 30) == Type.Q5_0
    assert _type_of("token_embd.weight", narrow, "Q4_K_M", 30) == Type.Q8_0
    assert _type_of("blk.0.ffn_down.weight", wide, "Q4_K_M", 30) == Type.Q6_K
    assert _type_of("blk.3.ffn_down.weight", wide, "Q4_K_M", 30) == Type.Q4_K
    assert _type_of("blk.0.attn_norm.weight", np.zeros(576), "Q4_K_M", 30) == Type.F32
