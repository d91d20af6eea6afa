"""Corpora and vocabularies, made with Apache Beam: jobs, and transforms for pipelines of one's own.

Names are imported when they are first used: configurations come without Beam.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.beam.corpus.config import CorpusConfig
    from pipeline.beam.corpus.make import make_corpus
    from pipeline.beam.corpus.shard_examples import ShardExamples
    from pipeline.beam.corpus.transforms import MakeExamples, WriteCorpus
    from pipeline.beam.vocab.config import VocabConfig
    from pipeline.beam.vocab.make import make_vocabulary

__all__ = [
    "CorpusConfig",
    "MakeExamples",
    "ShardExamples",
    "VocabConfig",
    "WriteCorpus",
    "make_corpus",
    "make_vocabulary",
]

_MODULES = {
    "CorpusConfig": "corpus.config",
    "MakeExamples": "corpus.transforms",
    "ShardExamples": "corpus.shard_examples",
    "VocabConfig": "vocab.config",
    "WriteCorpus": "corpus.transforms",
    "make_corpus": "corpus.make",
    "make_vocabulary": "vocab.make",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
