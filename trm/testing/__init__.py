"""Conformance suites for authors of plug-ins."""
