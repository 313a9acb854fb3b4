"""One model in several quantisations, made from the demo's file with llama.cpp's own arithmetic.

The demo's file is in Q4_1. The reference has its weights plus uniform noise within each step of
that grid, in F16: an original that does not lie on any grid. The quantisations are made from it by
the rules of llama.cpp's `llama-quantize`, block by block with the function that it uses, which the
library of the package `xllamacpp` exports.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

FALLBACK = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
"""Of rows that do not divide by 256, as most of this model's do not."""
BASE = {
    "Q8_0": (Type.Q8_0, Type.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "Q6_K": (Type.Q6_K, Type.Q6_K, LlamaFileType.MOSTLY_Q6_K),
    "Q5_K_M": (Type.Q5_K, Type.Q6_K, LlamaFileType.MOSTLY_Q5_K_M),
    "Q4_K_M": (Type.Q4_K, Type.Q6_K, LlamaFileType.MOSTLY_Q4_K_M),
    "Q4_0": (Type.Q4_0, Type.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
"""Name -> type of most tensors, of those that get more bits, and of the file."""


def write_set(source: Path, folder: Path, names=("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")):
    """The reference (F16) and its quantisations; files that are there already are kept.

    Returns:
        Name -> path, the reference first.
    """
    paths = {name: folder / f"{name}.gguf" for name in ("F16", *names)}
    if all(path.is_file() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(source)
    weights = _dithered(reader)
    for name, path in paths.items():
        part = path.with_suffix(".part")
        _write(reader, weights, name, part)
        part.replace(path)
    return paths


def _dithered(reader):
    draw = np.random.default_rng(17)
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.tensor_type in (Type.Q4_1, Type.Q8_0):
            # Each block of 32 begins with its step, a 16-bit float.
            size = GGML_QUANT_SIZES[tensor.tensor_type][1]
            blocks = tensor.data.reshape(-1, size)
            step = blocks[:, :2].copy().view(np.float16).astype(np.float32)
            noise = draw.random((len(blocks), 32), np.float32) - 0.5
            values += (noise * step).reshape(values.shape)
        weights[tensor.name] = values
    return weights


def _write(reader, weights, name, path):
    writer = GGUFWriter(path, "llama")
    kind = LlamaFileType.MOSTLY_F16 if name == "F16" else BASE[name][2]
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = int(kind) if key == "general.file_type" else field.contents()
        of_items = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], of_items)
    layers = int(reader.fields["llama.block_count"].contents())
    for key, values in weights.items():
        type_ = _type_of(key, values, name, layers)
        if type_ == Type.F32:
            writer.add_tensor(key, values)
        elif type_ == Type.F16:
            writer.add_tensor(key, values.astype(np.float16))
        else:
            writer.add_tensor(key, quantised(values, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _type_of(key, values, name, layers):
    if values.ndim == 1:
        return Type.F32
    if name == "F16":
        return Type.F16
    most, more, _ = BASE[name]
    embedding = key == "token_embd.weight"  # it is the output, too, as there is no other
    type_ = Type.Q6_K if embedding and name != "Q8_0" else most
    if "attn_v" in key or "ffn_down" in key:
        i = int(key.split(".")[1])
        if i < layers // 8 or i >= 7 * layers // 8 or (i - layers // 8) % 3 == 2:
            type_ = more
    return FALLBACK.get(type_, type_) if values.shape[1] % 256 else type_


def quantised(values, type_):
    """Rows of 32-bit floats in a type of llama.cpp, as bytes."""
    import xllamacpp.xllamacpp as library

    quantize = ctypes.CDLL(library.__file__).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3]
    quantize.argtypes += [ctypes.c_void_p]
    values = np.ascontiguousarray(values, np.float32)
    rows, width = values.shape
    items, size = GGML_QUANT_SIZES[type_]
    out = np.empty((rows, width // items * size), np.uint8)
    written = quantize(int(type_), values.ctypes.data, out.ctypes.data, 0, rows, width, None)
    assert written == out.nbytes
    return out
