"""What happened: records, the journal, the run directory, identities."""
