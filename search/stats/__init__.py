"""Intervals, race rules, rank correlation, Sobol indices: pure functions of numbers."""
