"""The embedded Ollama-compatible server and its engines."""
