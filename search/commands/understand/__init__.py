"""Commands that read runs, also while they go on."""
