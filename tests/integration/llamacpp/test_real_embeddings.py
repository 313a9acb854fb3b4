"""A model that pools, so embeds: the demo model's weights with a pooling named in the header."""

import struct

import pytest

from bench.server.engine import LoadOptions
from bench.server.llamacpp.engine import create_engine

pytestmark = pytest.mark.real_engine

UINT32, STRING = 4, 8
MEAN = 1


def gguf_string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def with_pooling(source, target):
    """Copy a GGUF file, with two more entries in its header: 64 bytes, so data stay aligned."""
    entries = gguf_string("llama.pooling_type") + struct.pack("<II", UINT32, MEAN)
    entries += gguf_string("x") + struct.pack("<I", STRING) + gguf_string("y" * 9)
    assert len(entries) == 64
    content = source.read_bytes()
    head = struct.Struct("<4sIQQ")
    magic, version, tensors, keys = head.unpack_from(content)
    target.write_bytes(
        head.pack(magic, version, tensors, keys + 2) + entries + content[head.size :]
    )
    return target


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_embeddings_of_a_model_that_pools(demo_model_file, tmp_path):
    path = with_pooling(demo_model_file, tmp_path / "embed.gguf")
    engine = create_engine([str(path)], threads=1)
    (card,) = engine.cards()
    assert card.capabilities == ("embedding",)
    runner = await engine.load(card, LoadOptions(num_ctx=512, parallel=1))
    texts = ("The cat sleeps.", "A cat is asleep.", "Interest rates rose by 2 %.")
    cat, same, other = [await runner.embed(text) for text in texts]
    assert len(cat.vector) == card.embedding_length == 576
    assert cat.prompt_n == 5
    assert dot(cat.vector, same.vector) > dot(cat.vector, other.vector)
    await engine.aclose()
