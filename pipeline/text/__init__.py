"""Reads, cleans and splits text, without Beam or TensorFlow."""
