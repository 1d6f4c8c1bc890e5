"""Confirm, race, promise, sensitivity and ablations: how firmly a winner stands."""
