"""One module a command of `trm`: `add_arguments(parser)` and `run(args) -> exit code`."""
