"""Reads what a run folder holds: status, importance, fidelity, comparison, diagnosis. Never Ray."""
