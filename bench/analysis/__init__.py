"""What it means: pure functions over columns of records."""
