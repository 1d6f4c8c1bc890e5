"""Commands for runs on clusters."""
