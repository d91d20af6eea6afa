"""Objectives: the loss of a head, with its sums, metrics, table rows and histograms."""
