"""Attempts on Ray Tune: where trials come from, how they execute, what a worker does."""
