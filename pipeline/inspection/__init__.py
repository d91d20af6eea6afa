"""Inspects corpora: shows what they hold, validates them, and estimates one before it is made."""
