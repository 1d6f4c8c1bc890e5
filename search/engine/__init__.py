"""Attempts on Ray Tune: where trials come from, how they execute, what a worker does."""

from trm.files.paths import give_home

# Ray Tune looks for the home folder while it is imported.
give_home()
