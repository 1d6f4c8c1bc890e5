"""The only truth of a run: trials, curves, journal, lease and storage."""
