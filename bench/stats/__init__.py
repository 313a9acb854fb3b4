"""Statistics as functions over arrays: intervals, tests, power, change points. Knows no runs."""
