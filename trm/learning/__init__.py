"""What a model learns by: losses, halting rules, optimisers, and the average of its weights."""
