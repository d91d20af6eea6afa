"""Optimisers, learning-rate schedules and the scale of the loss, built from their configuration."""
