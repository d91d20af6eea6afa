"""Reads corpora in one global order, with numpy alone; see `Corpus`."""

from pipeline.reader.batches import Batches
from pipeline.reader.corpus import Corpus

__all__ = ["Batches", "Corpus"]
