"""The searcher's side of the first stage: candidates, early stopping, populations, warm start."""
