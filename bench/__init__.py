"""Benchmarks Ollama servers: scenario files in, trustworthy numbers and an HTML report out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ollama-bench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
