"""Runs units of work on any of Beam's runners: launches and watches them, and keeps their results in a folder."""
