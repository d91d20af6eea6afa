"""The vocabulary job: raw text to word counts, and a vocabulary learned from them."""
