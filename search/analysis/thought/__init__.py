"""What deeper and wider thinking is worth: accuracy against the compute of inference."""
