"""What reports show of sessions, batches, pictures and checked answers."""
