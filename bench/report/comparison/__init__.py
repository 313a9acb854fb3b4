"""Comparisons, told: page, charts, and the formats of continuous integration."""
