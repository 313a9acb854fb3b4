"""What one run means: records as columns, rates, percentiles, intervals, warnings."""
