"""The demo's model with one fault each, as files that the real engine serves.

They are copies whose bytes are changed in place, but for the vocabulary, which is written anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

BYTES_AND_MARKS = 252
"""Tokens before the first merge: single bytes and control tokens. Merge n makes token 252 + n."""
_TOKENS = "tokenizer.ggml."
_NORMAL = 1


def scrambled(source: Path, target: Path) -> Path:
    """Rows of every layer's second feed-forward matrix in another order: a ruined file."""
    draw = np.random.default_rng(3)
    rows = [t.data for t in _reader(source).tensors if "ffn_down" in t.name]
    return _changed(source, target, [(r, r[draw.permutation(len(r))]) for r in rows])


def endless(source: Path, target: Path) -> Path:
    """A file that does not know its own end-of-turn token: it is text like any other.

    The token has a name by which the engine does not find it, and the template uses that name.
    """
    fields = _reader(source).fields
    types, eos = fields[f"{_TOKENS}token_type"], fields[f"{_TOKENS}eos_token_id"]
    changes = [(types.parts[types.data[2]], _NORMAL), (eos.parts[-1], 0)]
    _changed(source, target, changes)
    target.write_bytes(target.read_bytes().replace(b"<|im_end|>", b"<|im_fin|>"))
    return target


def smaller_vocabulary(source: Path, target: Path, merges: int) -> Path:
    """The model with the vocabulary that so many of its merges make, and the rows of its tokens.

    Merges are learnt one after the other, so the first ones are what a smaller tokenizer of the
    same training would have had.
    """
    reader = _reader(source)
    size = BYTES_AND_MARKS + merges
    writer = GGUFWriter(target, "llama")
    lengths = {"tokens": size, "token_type": size, "merges": merges}
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = field.contents()
        if key.startswith(_TOKENS) and (most := lengths.get(key.removeprefix(_TOKENS))):
            value = value[:most]
        if key == "llama.vocab_size":
            value = size
        of_items = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], of_items)
    for tensor in reader.tensors:
        data = tensor.data[:size] if tensor.name == "token_embd.weight" else tensor.data
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@cache
def _reader(source: Path) -> GGUFReader:
    """The header of a file: it takes a second to read."""
    return GGUFReader(source)


def _changed(source: Path, target: Path, changes) -> Path:
    """A copy with other values in some arrays of the file."""
    content, start = bytearray(source.read_bytes()), _reader(source).data.ctypes.data
    for part, value in changes:
        at = part.ctypes.data - start
        content[at : at + part.nbytes] = (
            np.broadcast_to(value, part.shape).astype(part.dtype).tobytes()
        )
    target.write_bytes(content)
    return target
