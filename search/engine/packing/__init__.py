"""How many trials share a GPU: what measures it, what is known of it, and which part each has."""
