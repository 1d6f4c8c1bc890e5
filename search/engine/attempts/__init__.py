"""What becomes of attempts and their trials: whose turn is next, whose fault an end was."""
