"""How Ollama speaks: wire types, control API, streaming transports, what each number means."""
