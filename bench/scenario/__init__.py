"""What to measure: schema, loading, expansion into a plan, prompts, arrivals."""
