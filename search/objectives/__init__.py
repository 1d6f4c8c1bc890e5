"""Columns to search by, their directions, constraints, and outcomes of trials."""
