"""A server's answers without a network, for the control calls."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from bench.ollama.control import Control

Answerer = Callable[[httpx.Request], httpx.Response]


def mock_control(url: str, answer: Answerer) -> Control:
    """The control calls of a server that answers so; every answer is a stream, as from a socket."""

    def streamed(request: httpx.Request) -> httpx.Response:
        said = answer(request)
        stream = httpx.ByteStream(said.content)
        return httpx.Response(said.status_code, headers=said.headers, stream=stream)

    return Control(url, transport=httpx.MockTransport(streamed))
