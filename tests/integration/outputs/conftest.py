from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.server.embedded import EmbeddedServer, start_server


@pytest.fixture(scope="module")
def simulated() -> Iterator[EmbeddedServer]:
    """The embedded server with the simulated engine: two slots, a fast model."""
    with start_server(profile="test", num_parallel=2) as server:
        yield server
