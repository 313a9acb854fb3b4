"""What is wrong when a control call fails, in words that say what to do."""

from __future__ import annotations

import asyncio
import ssl

from bench.errors import BenchError, ModelError, NotOllama, ServerError, ServerUnreachable
from bench.ollama.error_bodies import MAX_PAGE_CHARS, body_error, json_error, status_name
from bench.wire.errors import innermost, system_words
from bench.wire.http_client import httpx

_BROKEN = "peer closed connection"
"""What httpx says when a reply ends in its middle."""
_NOTHING = "Server disconnected"
"""What it says when there is none."""
_WANTS_HTTPS = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
"""What Go and nginx answer, in plain text, to http on a port for https."""
_ADDRESS = "Check the address and port; Ollama's own port is 11434."
_HTTPS = "Write its address with https://."
_PROBE_S = 3.0


def explain(
    url: str,
    call: str,
    error: Exception,
    timeout_s: float,
    answered: bool = False,
    proxied: bool = False,
) -> BenchError:
    """The error for a call that got no answer.

    `answered`: the server has answered another call before. `proxied`: it is asked by a proxy.
    """
    if isinstance(error, httpx.ReadTimeout | TimeoutError):
        return ServerUnreachable(
            f"{url} accepted the connection but did not answer {call} in time ({timeout_s:g} s)",
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
    unreached = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if isinstance(error, httpx.ProxyError) or (unreached and proxied):
        what = "cannot be reached" if unreached else f"refuses {call}"
        return ServerUnreachable(
            f"the proxy before {url} {what} ({_reason(error)})",
            "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name it; NO_PROXY lists hosts to ask directly.",
        )
    if unreached:
        return ServerUnreachable(
            f"no server answers at {url} ({_reason(error)})",
            "Is Ollama running there? Start it with: ollama serve. "
            "Name another address with --host or OLLAMA_HOST.",
        )
    reason = _reason(error)
    begun = reason.startswith(_BROKEN)
    cut = begun or (answered and reason.startswith(_NOTHING))
    if isinstance(error, httpx.RemoteProtocolError) and cut:
        when = "in mid-reply to" if begun else "instead of answering"
        return ServerUnreachable(
            f"{url} broke the connection {when} {call} ({reason})",
            "Did the server crash or was it stopped? Its log says.",
        )
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return not_ollama(url, f"it does not speak HTTP as Ollama does: {reason} ({call})")
    return ServerUnreachable(f"the connection to {url} failed during {call}: {reason}")


def not_ollama(url: str, why: str) -> NotOllama:
    """The error for something else than Ollama."""
    advice = _ADDRESS
    if url.rstrip("/").endswith("/v1"):
        advice = (
            "The address ends in /v1, which is the part for OpenAI's clients: leave it out "
            f"({url.rstrip('/').removesuffix('/v1')})."
        )
    return NotOllama(f"what answers at {url} is not Ollama: {why}", advice)


def refusal(url: str, path: str, status: int, body: bytes, model: str = "") -> BenchError:
    """The error for an answer that is no success."""
    if any(words in body[:4096] for words in _WANTS_HTTPS):
        return NotOllama(f"{url} speaks https, not http", _HTTPS)
    own = json_error(body)
    said = body_error(status, body)
    if status in (401, 403, 407):
        return ServerError(
            f"{url} refuses access to {path} ({status} {own or said})",
            "If a proxy asks for a password or token, give it in the environment: see "
            "`ollama-bench run --help`. A bare 403 is also Ollama's answer to a Host header "
            "it does not expect.",
        )
    if model and (own or status == httpx.codes.NOT_FOUND):
        if status == httpx.codes.NOT_FOUND:
            advice = f"Get it with: ollama pull {model}"
            return ModelError(f"the model {model} is not installed on the server", advice)
        return ModelError(
            f"the server cannot use the model {model}: {own or said} (status {status})"
        )
    answers = f"{status_name(status)}: {own}" if own else said
    if status in (502, 504, 520, 521, 522, 523, 524):
        return ServerError(
            f"{url} answers {path} with {answers}",
            "That is a gateway's answer: the server behind it did not answer, or not in time.",
        )
    advice = ""
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        advice = "A gateway limits how large a request may be (nginx: client_max_body_size)."
    elif status == httpx.codes.SERVICE_UNAVAILABLE and not own:
        advice = (
            "Ollama says why it is busy: this is a gateway's answer, and no server is behind it."
        )
    return ServerError(f"{url} answers {path} with {answers}", advice)


async def speaks_https(url: httpx.URL, error: Exception) -> bool:
    """Whether what cut off a call in plain http speaks TLS."""
    broken = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
    if url.scheme != "http" or not broken or isinstance(error, httpx.ConnectError):
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts all: it is only a question
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_PROBE_S):
            opening = asyncio.open_connection(url.host, url.port or 80, ssl=context)
            _, writer = await opening
        writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return False
    return True


def _reason(error: BaseException) -> str:
    """The innermost cause in one line; HTTP libraries quote whole headers in theirs."""
    words = " ".join(system_words(innermost(error)).split())
    return words if len(words) <= MAX_PAGE_CHARS else f"{words[:MAX_PAGE_CHARS]}..."
