"""The vocabulary job, which counts the words of raw text and learns a vocabulary from the counts."""
