"""Trained models that run elsewhere: graphs, and what they cost."""
