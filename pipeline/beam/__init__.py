"""Beam jobs, and the PTransforms that wrap the pure layers."""
