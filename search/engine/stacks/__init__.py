"""Several seeds of one config in one worker, each an attempt of its own: how many, and how."""
