"""Files: paths that people give, run folders, locks, checksums and YAML."""
