"""What is wrong when a control call fails, in words that say what to do."""

from __future__ import annotations

import ssl

import msgspec

from bench.errors import BenchError, ModelError, NotOllama, ServerUnreachable
from bench.ollama.http_client import httpx
from bench.ollama.wire_errors import innermost, system_words

MAX_ERROR = 300
"""Characters kept of what a server says is wrong."""

_BROKEN = "peer closed connection"
"""What httpx says when a reply ends in its middle."""


def explain(url: str, error: Exception) -> BenchError:
    """The error for a call that got no answer."""
    if isinstance(error, httpx.ReadTimeout):
        return ServerUnreachable(
            f"{url} accepted the connection but did not answer in time",
            "Is the server busy loading a model, or is something else listening there?",
        )
    if isinstance(innermost(error), ssl.SSLCertVerificationError):
        return ServerUnreachable(
            f"{url} cannot be trusted ({_reason(error)})",
            "Name the authority that signed its certificate with --ca-file FILE, "
            "or accept any with --insecure.",
        )
    if isinstance(innermost(error), ssl.SSLError):
        return ServerUnreachable(
            f"no TLS can be spoken with {url} ({_reason(error)})",
            "Does it speak plain http? Then write its address with http://.",
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ServerUnreachable(
            f"no server answers at {url} ({_reason(error)})",
            "Is Ollama running there? Start it with: ollama serve. "
            "Name another address with --host or OLLAMA_HOST.",
        )
    reason = _reason(error)
    if isinstance(error, httpx.RemoteProtocolError) and reason.startswith(_BROKEN):
        return ServerUnreachable(
            f"{url} broke the connection in mid-reply ({reason})",
            "Did the server crash or was it stopped? Its log says.",
        )
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return not_ollama(url, f"it does not speak HTTP as Ollama does: {reason}")
    return ServerUnreachable(f"the connection to {url} failed: {reason}")


def not_ollama(url: str, why: str) -> NotOllama:
    """The error for something else than Ollama."""
    return NotOllama(
        f"what answers at {url} is not Ollama: {why}",
        "Check the address and port; Ollama's own port is 11434.",
    )


def error_text(body: bytes) -> str:
    """The `error` of a JSON reply, or the start of any other reply; bounded."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:MAX_ERROR].decode(errors="replace").strip()
    said = reply.get("error") if isinstance(reply, dict) else None
    if isinstance(said, dict):
        said = said.get("message")
    return str(said)[:MAX_ERROR] if said else ""


def model_error(model: str, status: int, said: str) -> ModelError:
    """The error for a call about a model that was refused."""
    if status == httpx.codes.NOT_FOUND:
        return ModelError(
            f"the model {model} is not installed on the server", f"Get it with: ollama pull {model}"
        )
    return ModelError(f"the server cannot use the model {model}: {said} (status {status})")


def _reason(error: BaseException) -> str:
    """The innermost cause in one line."""
    return system_words(innermost(error))
