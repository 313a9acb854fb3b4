"""The llama.cpp engine of the embedded server: a real model, real tokens.

llama.cpp's own server (from the package `xllamacpp`) runs in a process of its own, one for each
loaded model, as Ollama does from 0.30 on; so it never shares an interpreter lock with the front.
"""
