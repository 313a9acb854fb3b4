"""The proxy that writes real sessions for replay; it measures nothing."""
