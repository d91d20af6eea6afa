"""TFRecords for BERT-style masked-language-model pre-training, and the pre-training itself.

The public API is what `__all__` names: here, the public modules; in each of them, its public names. Everything else is
internal, and may change in any release. `docs/api/index.md` states what the public API promises.
"""

from pipeline.version import __version__

__all__ = ["__version__", "beam", "errors", "manifest", "reader", "tokenizers", "training"]
