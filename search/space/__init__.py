"""The space language: distributions, nested choices and draws."""
