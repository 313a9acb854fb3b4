"""Rendered comparisons: page, charts, and the formats of continuous integration."""
