"""Texts of blocks share as many leading tokens as their traces say."""

import pytest

from bench.scenario.block_text import block_text, shared_tokens
from bench.scenario.corpus import LANGUAGES, TokenRates, units_of

RATES = TokenRates("m", "en", 1.2, 30.0)


def test_a_shorter_stretch_is_the_beginning_of_a_longer_one():
    long = block_text([7, 8], [8000, 600], RATES)
    assert long.startswith(block_text([7], [8000], RATES))
    assert long.startswith(block_text([7], [3200], RATES))


def test_the_text_is_as_long_as_asked():
    text = block_text([1, 2, 3], [512, 512, 1], RATES)
    assert units_of(text, "en") == pytest.approx(RATES.units(1025), rel=0.03)


@pytest.mark.parametrize("language", LANGUAGES)
def test_different_blocks_have_different_first_words(language):
    rates = TokenRates("m", language, 1.0, 0.0)
    heads = {block_text([n], [3], rates, language) for n in range(20_000)}
    assert len(heads) == 20_000


def test_shared_leading_tokens():
    assert shared_tokens((1, 2), (512, 100), (1, 2, 3), (512, 512, 512)) == 612
    assert shared_tokens((1, 2), (512, 512), (1, 4), (512, 512)) == 512
    assert shared_tokens((1,), (512,), (2,), (512,)) == 0
