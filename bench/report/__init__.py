"""How it is told: one report model, many renderers."""
