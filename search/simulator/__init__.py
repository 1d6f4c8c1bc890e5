"""Sweeps in virtual time on recorded curves."""
