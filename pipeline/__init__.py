"""TFRecords for BERT-style masked-language-model pre-training, and the pre-training itself."""

from pipeline.version import __version__

__all__ = ["__version__"]
