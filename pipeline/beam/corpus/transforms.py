"""PTransforms that make a corpus within a pipeline of one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline import files
from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.config import CorpusConfig, is_own_name
from pipeline.beam.corpus.elements import SOURCE, Element, make_element
from pipeline.beam.corpus.finish import describe_corpus, finish_corpus
from pipeline.beam.corpus.job import WORK_FOLDER
from pipeline.beam.corpus.recipe import Recipe, make_recipe
from pipeline.beam.corpus.shard_examples import ShardExamples, make_shard, write_shard
from pipeline.compiling import CORPUS_LOOPS, compile_loops
from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, CorpusError, OutputError
from pipeline.manifest import MANIFEST_NAME, Manifest

_MOST_SHARDS = 100_000
# Options of reading files, and of the directory of the corpus.
_NOT_OURS = ("input", "output", "format", "document_separator", "csv_quotes", "block_bytes")


class MakeExamples(beam.PTransform):
    """Makes pre-training examples of documents: PCollection of documents -> PCollection of `ShardExamples`.

    A document is a `str` with one paragraph per line, a list of sentences, or a mapping with one of them in the field
    `text_field`. Documents are cleaned, split into sentences, tokenized, paired, packed and masked as by the command
    `corpus`, with its options.

    The hash of a document decides its shard and its place there. The same documents and options therefore give the same
    examples, in whatever order and bundles the documents arrive. Random next sentences, sentences of
    `pairing="full-sentences"` and packed rows come from documents of the same shard.

    Documents are grouped by shard. A worker holds one shard in memory, with its text and its examples: choose `shards`
    so that a shard has at most some tens of megabytes of text. What the runner does with the grouped text is its own
    matter: Beam's FnApiRunner holds all of it in memory.

    Args:
        vocab: the vocabulary, as for the command `corpus`; it is sent to the workers.
        shards: the number of shards, at least 1, which changes the examples.
        **options: options of `CorpusConfig`, but for those of files (`input`, `output`, `format`,
            `document_separator`, `csv_quotes`, `block_bytes`), and without `dedup="near"`.

    Raises:
        ConfigError: if an option is unknown or invalid, when the transform is made; or if the PCollection is unbounded
            or windowed, when it is applied.
        VocabularyError: if the vocabulary is missing or malformed.
        InputError: in a worker, if an element is not a document.

    Example:

    ```python
    import apache_beam as beam

    from pipeline.beam import MakeExamples, WriteCorpus

    with beam.Pipeline(runner="FnApiRunner") as root:
        (
            root
            | "Read" >> beam.io.ReadFromText("texts/*.txt")  # Each line is a document.
            | "Examples" >> MakeExamples(vocab="vocab.txt", shards=8, pairing="doc-sentences", seed=1)
            | "Write" >> WriteCorpus("out/corpus")
        )
    ```
    """

    def __init__(self, *, vocab: str, shards: int = 16, **options: Any) -> None:
        super().__init__()
        for name in options.keys() & set(_NOT_OURS):
            raise ConfigError(
                f"MakeExamples has no option {name}: it takes the documents of a PCollection",
                do="Set the directory in WriteCorpus" if name == "output" else "Read and separate documents before it",
            )
        if options.get("dedup") == "near":
            raise ConfigError(
                "dedup must be none or exact in MakeExamples",
                received="'near'",
                do="Remove near duplicates before it, or use the command corpus",
            )
        if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= _MOST_SHARDS:
            raise ConfigError(f"shards must be a whole number between 1 and {_MOST_SHARDS}", received=repr(shards))
        self._shards = shards
        # The output is not known yet.
        places = {"input": (SOURCE,), "output": ".", "vocab": vocab}
        self._recipe = make_recipe(from_dict(CorpusConfig, {**options, **places}))

    def expand(self, documents: Any) -> Any:
        """Applies the transform.

        Args:
            documents: a bounded PCollection of documents, in the global window.

        Returns:
            A PCollection of `ShardExamples`, one for each shard.

        Raises:
            ConfigError: if the PCollection is unbounded or windowed.
        """
        if not documents.is_bounded or not documents.windowing.is_default():
            raise ConfigError(
                "MakeExamples needs all documents at once",
                received="an unbounded or windowed PCollection",
                do="Apply it to a bounded PCollection, after beam.WindowInto(beam.window.GlobalWindows())",
            )
        compile_loops(CORPUS_LOOPS)  # Once here, not in every worker.
        elements = documents | "Clean" >> beam.ParDo(_CleanFn(self._recipe.config, self._shards))
        # Also shards without a document have files.
        shards = documents.pipeline | "Shards" >> beam.Create([(shard, None) for shard in range(self._shards)])
        return (
            (elements, shards)
            | "Join" >> beam.Flatten()
            | "Group by shard" >> beam.GroupByKey()
            | "Make examples" >> beam.ParDo(_MakeShardFn(self._recipe, self._shards))
        )


class WriteCorpus(beam.PTransform):
    """Writes a corpus: PCollection of `ShardExamples` -> PCollection of its `Manifest`, one element.

    The directory then holds what the command `corpus` makes: shards, their index, the vocabulary and, written last, the
    manifest. `validate`, `report`, `pretrain` and `pipeline.reader.Corpus` read it. If the pipeline fails, there is no
    manifest; run it again with `overwrite=True`.

    Args:
        output: the directory, which all workers must reach: a local path, or one on a store, such as gs://bucket/corpus.
        overwrite: whether to remove the files of an earlier corpus there, as soon as the transform is applied.

    Raises:
        ConfigError: if `output` is not the name of a directory.
        OutputError: when the transform is applied, if the directory has files of a corpus and `overwrite` is false, or
            cannot be written; in a worker, if a file cannot be written.
        CorpusError: in a worker, if the elements are not all shards of one `MakeExamples`.
        InputError: in a worker, if there are no training examples.
    """

    def __init__(self, output: str, *, overwrite: bool = False) -> None:
        super().__init__()
        if not isinstance(output, str) or not output:
            raise ConfigError("output must be a directory", received=repr(output))
        self._output = output
        self._overwrite = overwrite

    def expand(self, examples: Any) -> Any:
        """Applies the transform.

        Args:
            examples: a PCollection of `ShardExamples`, as `MakeExamples` returns it.

        Returns:
            A PCollection of one `Manifest`, when all files are written.

        Raises:
            OutputError: if the directory has files of a corpus and `overwrite` is false, or cannot be written.
        """
        _prepare(self._output, overwrite=self._overwrite)
        return (
            examples
            | "Write shards" >> beam.ParDo(_WriteShardFn(self._output))
            | "Gather" >> beam.GroupByKey()
            | "Write manifest" >> beam.ParDo(_WriteManifestFn(self._output))
        )


def _prepare(output: str, *, overwrite: bool) -> None:
    """Creates the directory, and refuses or removes files of an earlier corpus."""
    files.make_directory(output)
    names = [name for name in files.list_names(output) if is_own_name(name) or name == WORK_FOLDER]
    if WORK_FOLDER in names or (names and not overwrite):
        raise OutputError(
            f"{output} already contains files of a corpus",
            received=", ".join(names[:3]) + f" and {len(names) - 3:,} more" * (len(names) > 3),
            do="Choose another directory"
            if WORK_FOLDER in names
            else "Choose another directory, or replace them with WriteCorpus(..., overwrite=True)",
        )
    for name in sorted(names, key=lambda name: name != MANIFEST_NAME):  # First: what is left then is no corpus.
        files.remove(files.join(output, name))


class _CleanFn(beam.DoFn):
    """Cleans documents: document -> (shard, element)."""

    def __init__(self, config: CorpusConfig, shards: int) -> None:
        self._config = config
        self._shards = shards

    def process(self, document: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
        element = make_element(document, self._config)
        yield element.shard(self._shards), tuple(element)  # Beam encodes plain tuples fastest.


class _MakeShardFn(beam.DoFn):
    """Makes the examples of a shard: (shard, elements, and None) -> `ShardExamples`."""

    def __init__(self, recipe: Recipe, shards: int) -> None:
        self._recipe = recipe
        self._shards = shards

    def process(self, keyed: tuple[int, Iterable[tuple[Any, ...] | None]]) -> Iterator[ShardExamples]:
        shard, group = keyed
        elements = (Element(*element) for element in group if element is not None)
        made = make_shard(shard, self._shards, elements, self._recipe)
        for split in made.counts.splits:
            Metrics.counter("corpus", f"{split}_examples").inc(made.examples(split))
        yield made


class _Written(NamedTuple):
    """What is known of a written shard; `recipe` is that of shard 0 alone, which has the vocabulary."""

    shard: int
    shards: int
    identity: str
    sha256: str
    text_bytes: int
    result: BlockResult
    recipe: Recipe | None


class _WriteShardFn(beam.DoFn):
    """Writes the files of a shard: `ShardExamples` -> (0, `_Written`)."""

    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, examples: Any) -> Iterator[tuple[int, _Written]]:
        if not isinstance(examples, ShardExamples):
            raise CorpusError(
                "WriteCorpus needs the elements that MakeExamples makes", received=type(examples).__name__
            )
        result = write_shard(examples, self._output)
        recipe = examples.recipe
        yield (
            0,
            _Written(
                shard=examples.shard,
                shards=examples.shards,
                identity=json.dumps(recipe.identity()),
                sha256=examples.sha256,
                text_bytes=examples.text_bytes,
                result=result,
                recipe=recipe if examples.shard == 0 else None,
            ),
        )


class _WriteManifestFn(beam.DoFn):
    """Writes the manifest, when all shards are written: (0, `_Written` of all) -> `Manifest`."""

    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, keyed: tuple[int, Iterable[_Written]]) -> Iterator[Manifest]:
        written = sorted(keyed[1], key=lambda found: found.shard)
        recipe = written[0].recipe
        same = {(found.shards, found.identity) for found in written}
        if recipe is None or len(same) > 1 or [found.shard for found in written] != list(range(written[0].shards)):
            raise CorpusError(
                "WriteCorpus needs every shard of one MakeExamples once",
                received=f"{len(written):,} elements for {written[0].shards:,} shards",
                do="To join documents of several sources, apply beam.Flatten before MakeExamples",
            )
        yield self._finish(recipe, written)

    def _finish(self, recipe: Recipe, written: list[_Written]) -> Manifest:
        recipe = dataclasses.replace(recipe, config=dataclasses.replace(recipe.config, output=self._output))
        determined_by = [written[0].identity, *(found.sha256 for found in written)]
        manifest = describe_corpus(
            recipe,
            [found.result for found in written],
            key=hashlib.sha256("\n".join(determined_by).encode()).hexdigest(),
            inputs=({"path": SOURCE, "bytes": sum(found.text_bytes for found in written)},),
        )
        of_name = {shard.name: found.result for found in written for shard in found.result.shards}
        indexes = (of_name[shard.name].index_of(shard) for shard in manifest.shards)
        return finish_corpus(manifest, recipe.vocabulary, indexes, self._output)
