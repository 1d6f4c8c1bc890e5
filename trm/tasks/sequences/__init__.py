"""Tasks over a row of tokens, in which what stands far away decides."""
