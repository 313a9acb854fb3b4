"""Pages of a search for capacity and of a what-if."""
