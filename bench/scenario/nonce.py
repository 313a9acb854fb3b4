"""The cache-busting number at the start of every prompt."""

from __future__ import annotations

import functools
import hashlib
import math

_SPACE = 10**12
_PER_BLOCK = 10**7
"""Indices per block: half for measured requests, half for warm-up and calibration."""


def nonce(seed: int, salt: int, block: int, index: int, *, warmup: bool = False) -> str:
    """Four groups of three digits, different for every request of a run.

    Numbers of a fixed shape cost nearly the same count of tokens in every tokenizer. The request's
    place in the run is mapped by an affine permutation of the 12-digit numbers that seed and salt
    choose: two requests of one run never share a nonce, and its first digits change from request to
    request. Requests that are not measured have a range of their own.

    Raises:
        ValueError: block or index out of range.
    """
    if not (0 <= block < _SPACE // _PER_BLOCK and 0 <= index < _PER_BLOCK // 2):
        raise ValueError(f"no nonce for request {index} of block {block}")
    place = block * _PER_BLOCK + index + (_PER_BLOCK // 2 if warmup else 0)
    factor, shift = _permutation(seed, salt)
    digits = f"{(place * factor + shift) % _SPACE:012d}"
    return " ".join(digits[i : i + 3] for i in range(0, 12, 3))


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, salt: int) -> tuple[int, int]:
    digest = hashlib.sha256(f"nonce {seed} {salt}".encode()).digest()
    # Between a tenth and nine tenths of the space, so that neighbours differ in their first digits.
    factor = _SPACE // 10 + int.from_bytes(digest[:16], "big") % (_SPACE * 8 // 10)
    while math.gcd(factor, _SPACE) != 1:
        factor += 1
    return factor, int.from_bytes(digest[16:], "big") % _SPACE
