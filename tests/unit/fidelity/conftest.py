"""Planted divergences: whole distributions, so that the truth is known."""

from __future__ import annotations

import planted_lists
import pytest


@pytest.fixture(scope="session")
def planted():
    return planted_lists.planted
