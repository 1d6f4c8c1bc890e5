"""Configs, cards and the reference format, out of a run folder."""
