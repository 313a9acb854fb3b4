"""Puts the load on, and watches itself."""
