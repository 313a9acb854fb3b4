"""What is never written anywhere: secrets, by the place they stand at and by their values.

`scrub` goes over text as it enters (server text, logs, messages); `remember` tells it the secrets
that this process knows of, so that a server that echoes a header does not give them away.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

HIDDEN: Final = "(hidden)"
"""Written in place of a secret."""

_HARMLESS_BEGINNINGS: Final = (
    *("OLLAMA_", "CUDA_", "GGML_", "LLAMA_ARG_"),
    *("HIP_", "HSA_", "ROCR_", "GPU_", "OMP_"),
)
_HARMLESS: Final = frozenset({"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})
_SECRET_WORDS: Final = (
    *("KEY", "TOKEN", "SECRET", "PASS", "PWD", "AUTH", "CRED", "COOKIE", "JWT", "SESSION"),
    *("PRIVATE", "SIGNATURE", "BEARER", "CERT", "DSN", "PROXY"),
)
_FOLDERS: Final = frozenset({"PWD", "OLDPWD"})
"""A shell's folders: no passwords, though they have the word in them."""
CLIENT_SETTINGS: Final = frozenset(
    f"OLLAMA_{name}"
    for name in (
        *("CONTEXT_LENGTH", "DEBUG", "FLASH_ATTENTION", "GPU_OVERHEAD", "INTEL_GPU", "KEEP_ALIVE"),
        *("KV_CACHE_TYPE", "LLM_LIBRARY", "LOAD_TIMEOUT", "MAX_LOADED_MODELS", "MAX_QUEUE"),
        *("MAX_VRAM", "MULTIUSER_CACHE", "NEW_ENGINE", "NEW_ESTIMATES", "NOHISTORY", "NOPRUNE"),
        *("NUM_PARALLEL", "NUM_THREADS", "SCHED_SPREAD", "VULKAN"),
    )
)
"""Ollama's own settings (envconfig) that name no person, host or path: kept of this process."""

_LEAST_CHARACTERS: Final = 4
_LEAST_OF_A_VALUE: Final = 8
"""A shorter one ("1", "on") would be found in everything."""

# Repeats are bounded: a server's log or a broken file may hold megabytes without a blank, and the
# time taken must not grow with their square.
#
# Whatever stands before the "@" of an address, with or without a scheme ("name@sha256:" is a
# digest).
_USERINFO: Final = re.compile(
    r"(?P<kept>[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#'\"<>]*@"
    r"|(?<![\w./:@-])[\w.+%~-]{1,200}:[^\s@/'\"<>]{1,1000}@(?=[\w\[])(?!sha256)"
)
_WORDS: Final = r"token|key|secret|passw(?:or)?d|passwd|pwd|auth|sig|credential|session|jwt|code"
_QUERY: Final = re.compile(
    rf"([?&;][\w.-]{{0,60}}(?:{_WORDS})[\w.-]{{0,60}}=)[^&\s#'\"<>]+", re.IGNORECASE
)
_HEADER: Final = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-key|x-auth-token)"
    r"(\\?[\"']?\s{0,9}[:=]\s{0,9}\[?\s{0,9}\\?[\"']?)(?!\(hidden\))[^\r\n\"'\\]+",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s{1,9}(?=\S*[\d._~+/=-])[\w.~+/=-]{8,}")
_SETTING: Final = re.compile(r"(\benv\.(\w+)\s*=\s*)(\S+)")

_SHORT: Final = {
    **{"\t": ("t",), "\n": ("n",), "\r": ("r",), " ": (r"\+",), "\\": (r"\\{1,16}",)},
    "'": ("'\"'\"'", r"'\\''"),  # as shells write it
}

_known: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


def is_harmless(variable: str) -> bool:
    """Whether a variable's value may be written: its name is on the list, and says no secret."""
    name = variable.upper()
    if _says_secret(name):
        return False
    return name in _HARMLESS or name.startswith(_HARMLESS_BEGINNINGS)


def _says_secret(variable: str) -> bool:
    return any(word in variable.upper() for word in _SECRET_WORDS)


def shown_environment(env: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a server to start, with what is not known to be harmless hidden."""
    return {
        name: (scrub(value) if isinstance(value, str) else value) if is_harmless(name) else HIDDEN
        for name, value in env.items()
    }


def shown_value(path: str, value: str) -> str:
    """The value of a scenario's key as it may be shown; hidden if it is one of an `env`."""
    before, env, variable = path.rpartition("env.")
    secret = env and (not before or before.endswith(".")) and not is_harmless(variable)
    return HIDDEN if secret else scrub(value)


def remember(*secrets: str) -> None:
    """Hide these values from now on, wherever `scrub` or `without_known` finds them."""
    global _pattern
    for secret in secrets:
        for form in (secret, unquote(secret)):
            if len(form) >= _LEAST_CHARACTERS:
                _known.setdefault(form)
    if _known:
        longest_first = sorted(_known, key=len, reverse=True)
        _pattern = re.compile("|".join(map(_written, longest_first)))


def _written(secret: str) -> str:
    """A pattern for a secret as it is, and as URLs, HTML and texts in quotes write it."""
    return "".join(c if c.isascii() and c.isalnum() else _written_character(c) for c in secret)


def _written_character(character: str) -> str:
    octets = character.encode(errors="surrogateescape")
    halves = character.encode("utf-16-be", "surrogatepass").hex()
    pairs = [halves[n : n + 4] for n in range(0, len(halves), 4)]
    forms = [
        re.escape(character),
        "".join(f"%{octet:02x}" for octet in octets),
        r"\\{1,16}".join(f"u{pair}" for pair in pairs),  # JSON, Python
        r"\\{1,16}".join(f"x{octet:02x}" for octet in octets),  # Go
        f"x{ord(character):02x}|U{ord(character):08x}",
        re.escape(html.escape(character)),
        f"&#{ord(character)};|&#x0*{ord(character):x};",
        *_SHORT.get(character, ()),
    ]
    # Each level of quotes doubles the backslashes before it.
    return rf"\\{{0,16}}(?:{'|'.join(f'(?i:{form})' for form in forms)})"


def remember_environment(given: Mapping[str, str], inherited: Mapping[str, str]) -> None:
    """Hide the secrets of a server to start: it may print its environment.

    Args:
        given: set for it: every value is a secret that is not known to be harmless.
        inherited: of this process: those are whose names say so.
    """
    secrets = [v for k, v in given.items() if not is_harmless(k)]
    secrets += [v for k, v in inherited.items() if k not in _FOLDERS and _says_secret(k)]
    remember(*(v for v in secrets if len(v) >= _LEAST_OF_A_VALUE))


def scrub(text: str) -> str:
    """A message, or a server's text or log, without secrets: known ones, and where they stand."""
    if not text:
        return text
    text = without_known(text)
    if "@" in text:
        text = _USERINFO.sub(lambda found: f"{found['kept'] or ''}{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _SETTING.sub(lambda m: m[0] if is_harmless(m[2]) else m[1] + HIDDEN, text)


def without_known(text: str) -> str:
    """A text without the secrets that this process knows; nothing else of it changes."""
    return text if _pattern is None or not text else _pattern.sub(HIDDEN, text)


def scrub_bytes(content: bytes) -> bytes:
    """A log without secrets; what is not UTF-8 in it stays as it is."""
    return scrub(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def scrub_all(content: Any, kept: Iterable[str] = ()) -> Any:
    """JSON-ready content without secrets; values under the keys in `kept` stay as they are.

    What any `env` sets is hidden by its name.
    """
    if isinstance(content, str):
        return scrub(content)
    if isinstance(content, list | tuple):
        return [scrub_all(item, kept) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: shown_environment(value)
        if key == "env" and isinstance(value, dict)
        else value
        if key in kept
        else scrub_all(value, kept)
        for key, value in content.items()
    }
