"""Senders on many machines: Dask starts them, and they send a block together as processes do."""
