"""Finishes a corpus: its manifest, and the files beside its shards."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import files
from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.parts import SPLITS
from pipeline.beam.corpus.recipe import Recipe
from pipeline.beam.corpus.statistics import summarize, where_it_went
from pipeline.config.tree import to_dict
from pipeline.errors import InputError
from pipeline.manifest import Manifest, write_index, write_manifest
from pipeline.version import __version__
from pipeline.worth_a_look import corpus_notes


def describe_corpus(
    recipe: Recipe,
    results: Sequence[BlockResult],
    *,
    key: str,
    inputs: tuple[Mapping[str, Any], ...],
    inputs_modified: str = "",
) -> Manifest:
    """Makes the manifest of a corpus, without the index of its chunks.

    Args:
        recipe: its options and its vocabulary.
        results: the results of all of its blocks, in their order.
        key: see `Manifest`.
        inputs: see `Manifest`.
        inputs_modified: see `Manifest`.

    Raises:
        InputError: if there are no training examples, with what became of the documents.
    """
    shards = [shard for result in results for shard in result.shards]
    shards.sort(key=lambda shard: (SPLITS.index(shard.split), shard.name))
    statistics = summarize(shards, results)
    if not statistics["train"]["examples"]:
        raise InputError(
            f"The corpus would have no training examples: {where_it_went(statistics)}",
            do="Check the input, its --format, --cleaning, the vocabulary and --validation-fraction",
        )
    options = to_dict(recipe.config)
    return Manifest(
        key=key,
        options=options,
        spec=recipe.config.specs()[-1],
        tokenizer=dataclasses.replace(recipe.tokenizer().describe(), casing=recipe.casing.reason),
        inputs=inputs,
        shards=tuple(shards),
        statistics=statistics,
        versions=_versions(),
        worth_a_look=corpus_notes(options, statistics, inputs),
        inputs_modified=inputs_modified,
    )


def finish_corpus(manifest: Manifest, vocabulary: bytes, indexes: Iterable[bytes], output: str) -> Manifest:
    """Writes the vocabulary, the index of the chunks and, last, the manifest.

    Args:
        manifest: the manifest, as `describe_corpus` returns it.
        vocabulary: the bytes of the vocabulary file.
        indexes: the index of each shard, in the order of the manifest; see `pipeline.records.chunks`.
        output: the directory of the corpus.

    Returns:
        The manifest as it was written, with the index.

    Raises:
        OutputError: if a file cannot be written.
    """
    files.write_atomically(files.join(output, manifest.tokenizer.vocab_file), vocabulary)
    manifest = dataclasses.replace(manifest, index=write_index(indexes, output))
    write_manifest(manifest, output)
    return manifest


def _versions() -> dict[str, str]:
    names = ("numpy", "tensorflow", "tensorflow-text", "sentencepiece", "tokenizers", "apache-beam")
    others = {name: importlib.metadata.version(name) for name in names}
    return {"mlm-pipeline": __version__, "python": sys.version.split()[0]} | others
