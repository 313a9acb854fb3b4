"""Why a connection failed or broke, in the same words whatever carried the call."""

from __future__ import annotations

import errno
import os
import socket
import ssl

NO_RESPONSE = "the server closed the connection without a response"
CUT_IN_HEAD = "the server closed the connection within the head"
CUT = "the connection broke in mid-reply"
MAX_ERROR_CHARS = 1000
"""Kept of the text of an error."""


def connect_error_text(error: BaseException, limit_s: float) -> str:
    """Why no connection came about, in one line."""
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved: {error.strerror}"
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError) and not number:
        return f"no connection within {limit_s:g} s"
    if number == errno.EMFILE:
        return "this process may open no more connections (ulimit -n)"
    return f"no connection: {system_words(error)}"


def broken_text(error: BaseException) -> str:
    """How a connection broke, in one line."""
    return f"the connection broke: {system_words(error)}"


def system_words(error: BaseException) -> str:
    """What the operating system says, where it said something.

    asyncio puts "Connect call failed (address)" in its place. The numbers of OpenSSL and of the
    resolver are none of the system's.
    """
    if isinstance(error, ssl.SSLEOFError) or (
        isinstance(error, ConnectionError) and not error.args
    ):
        return "the server closed the connection"  # asyncio and OpenSSL, in a handshake
    foreign = isinstance(error, ssl.SSLError | socket.gaierror)
    if isinstance(error, OSError) and error.errno and not foreign:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def innermost(error: BaseException) -> BaseException:
    """The first cause of an error: httpx wraps the operating system's several times.

    Of several attempts (a name with several addresses) it is the first one's. That TLS was waiting
    for bytes when something happened is no cause.
    """
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            continue
        inner = error.__cause__ or error.__context__
        if inner is None or isinstance(inner, ssl.SSLWantReadError):
            return error
        error = inner


def redirect_text(status: int, location: str) -> str:
    """What to tell of a redirect."""
    text = f"HTTP {status}: redirected to {location[:300] or 'nowhere'}"
    return f"{text}; redirects are not followed: use the final URL as the target"


def unreadable_text(error: Exception) -> str:
    """The error of a reply that made its reader fail."""
    return f"the reply cannot be read: {type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
