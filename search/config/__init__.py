"""One reading of a config file: sections, plan, limits and the seeds of each stage."""
