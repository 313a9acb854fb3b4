"""An invented tokenizer: pieces of text, and a number for each.

One token is a mark like `<|im_start|>` or `</think>`, a word of up to nine letters with the space
before it, a digit, or any other single character; so a Chinese character is one token, and English
has about 1.1 tokens a word.
"""

from __future__ import annotations

import re
import zlib

_CJK = "\u2e80-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af"
_PIECE = re.compile(rf"<\|\w+\|>|</think>|[{_CJK}]| ?[^\W\d_{_CJK}]{{1,9}}| ?\d| ?\S|\s+")
VOCABULARY = 32_000
"""Tokens from here on are those of images."""
EOS = 2
IMAGE = "<|image|>"


def pieces(text: str) -> list[str]:
    """The text cut into the texts of its tokens; joined, they are the text again."""
    return _PIECE.findall(text)


def token_id(piece: str) -> int:
    """The number of a token."""
    return 3 + zlib.crc32(piece.encode()) % (VOCABULARY - 3)


def tokenize(text: str) -> list[int]:
    """The numbers of the text's tokens."""
    return [token_id(piece) for piece in _PIECE.findall(text)]
