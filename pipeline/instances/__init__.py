"""Turns documents of tokens into pre-training instances."""
