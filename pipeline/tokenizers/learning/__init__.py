"""Learning a vocabulary from word counts."""
