"""Reports on fidelity: how far candidates are from a reference."""
