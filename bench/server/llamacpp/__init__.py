"""The llama.cpp engine of the embedded server: a real model, real tokens.

llama.cpp's own server (from the package `xllamacpp`) runs in a process of its own, one for each
loaded model, as Ollama does from 0.30 on; so it never shares an interpreter lock with the front.
"""

from bench.server.llamacpp.engine import (
    INSTALL,
    LlamaCppEngine,
    create_engine,
    installed,
    require_installed,
)
from bench.server.llamacpp.model_file import find_model
from bench.server.llamacpp.models import DEMO_MODEL

__all__ = [
    "DEMO_MODEL",
    "INSTALL",
    "LlamaCppEngine",
    "create_engine",
    "find_model",
    "installed",
    "require_installed",
]
