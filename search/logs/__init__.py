"""Who watches a sweep: terminal, W&B, TensorBoard and the journal of Optuna."""
