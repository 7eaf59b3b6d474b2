"""Deciding what to run and what its results mean for the baseline: compare, sweep, promote."""
