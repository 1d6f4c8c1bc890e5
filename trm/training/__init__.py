"""The training loop, and all that it counts, looks at, reports and saves."""
