"""Learns vocabularies from word counts."""
