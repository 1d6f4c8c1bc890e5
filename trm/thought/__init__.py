"""Thinking deeper and wider than in training: rollouts, what is picked of them, what it costs."""
