"""`python -m bench` is `ollama-bench`."""

from bench.cli import main

main()
