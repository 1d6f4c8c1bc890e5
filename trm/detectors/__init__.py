"""Failure detectors, by what fails: numbers, learning, or the recursion and its halting."""
