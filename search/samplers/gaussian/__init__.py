"""A Gaussian process over a whole space, conditional parameters included, and what it proposes."""
