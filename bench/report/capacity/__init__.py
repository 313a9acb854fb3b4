"""How a search for capacity, and a what-if, are told."""
