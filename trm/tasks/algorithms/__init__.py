"""Tasks that ask for the result, or for the trace, of an algorithm."""
