"""Bytes and stamps: the seam between load and server, HTTP readers, transports.

Knows no server's language.
"""
