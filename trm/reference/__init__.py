"""The reference repository: its configs, its weights, and checkpoints made of them."""
