"""Histories of other tools as run folders: Optuna studies, W&B's tables, Ray Tune's results."""
