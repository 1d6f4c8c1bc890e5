"""Commands that search, and those that study what was found over seeds."""
