"""Corpora to look at, made by the corpus job, and a way to rewrite their shards."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.manifest import Manifest, read_manifest, write_index, write_manifest
from pipeline.records.chunks import records_per_chunk
from pipeline.records.decoding import decode_examples, read_serialized
from pipeline.records.scanning import index_file
from pipeline.records.spec import encode_tfrecords

Columns = dict[str, np.ndarray]
WORDS = 3000


@pytest.fixture(scope="session")
def many_words() -> bytes:
    """A vocabulary in which text made of random words does not repeat itself: w0, w1 ... of three to eight letters."""
    draw = random.Random(5)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 8)))] = None
    letters = [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", ".", ",", "##ing", "##ed"]
    return "".join(f"{token}\n" for token in [*tokens, *letters, *words]).encode()


@pytest.fixture(scope="session")
def long_text(many_words: bytes) -> str:
    """Four hundred documents of 2 to 30 sentences, in BERT's format."""
    draw = random.Random(11)
    words = many_words.decode().split()[-WORDS:]

    def sentence() -> str:
        chosen = [word + draw.choice(["", "", "", "ing", "ed"]) for word in draw.choices(words, k=draw.randint(4, 25))]
        return " ".join(chosen).capitalize() + "."

    documents = ["\n".join(sentence() for _ in range(draw.randint(2, 30))) for _ in range(400)]
    return "\n\n".join(documents) + "\n"


@pytest.fixture(scope="session")
def make(many_words: bytes, long_text: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a corpus with some options, once, and returns its directory; it must not be changed."""
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "vocab.txt").write_bytes(many_words)
    (folder / "text.txt").write_text(long_text)
    made: dict[str, Path] = {}

    def make_once(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = folder / f"corpus{len(made)}"
            defaults = {
                "max_seq_length": 64,
                "max_predictions_per_seq": 10,
                "validation_fraction": 0.2,
                "dupe_factor": 2,
                "block_bytes": 200_000,
                "format": "bert",
            }
            config = CorpusConfig(
                input=(str(folder / "text.txt"),),
                output=str(made[key]),
                vocab=str(folder / "vocab.txt"),
                **(defaults | options),
            )
            make_corpus(config, show_progress=False)
        return made[key]

    return make_once


@dataclasses.dataclass
class Workbench:
    """A corpus to do damage to.

    Attributes:
        directory: where it lies.
    """

    directory: Path

    @property
    def manifest(self) -> Manifest:
        return read_manifest(str(self.directory))

    def shard(self, split: str = "train", index: int = 0) -> str:
        """The name of a shard."""
        return self.manifest.split(split)[index].name

    def read(self, name: str) -> Columns:
        """The columns of a shard."""
        shard = next(shard for shard in self.manifest.shards if shard.name == name)
        return decode_examples(self.manifest.shard_spec(shard), list(read_serialized(str(self.directory / name))))

    def write(self, name: str, columns: Columns) -> None:
        """Writes a shard of those columns and changes the manifest so that counts and checksums are right."""
        manifest = self.manifest
        shard = next(shard for shard in manifest.shards if shard.name == name)
        data = encode_tfrecords(manifest.shard_spec(shard), columns)[0].tobytes()
        (self.directory / name).write_bytes(data)
        ids = columns["input_word_ids"]
        fresh = dataclasses.replace(
            shard,
            examples=len(ids),
            tokens=int(columns.get("input_mask", ids != 0).sum()),
            predictions=int(columns.get("masked_lm_weights", np.zeros(1)).sum()),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        shards = tuple(fresh if old.name == name else old for old in manifest.shards)
        self.rewrite(shards=shards)
        self.index()

    def index(self) -> None:
        """Writes an index of the shards as they are."""
        shards = [(str(self.directory / shard.name), shard.max_seq_length) for shard in self.manifest.shards]
        indexes = [index_file(path, records_per_chunk(length)).entries for path, length in shards]
        self.rewrite(index=write_index(indexes, str(self.directory)))

    def change(self, name: str, change: Callable[[Columns], Columns | None]) -> None:
        """Changes the columns of a shard: in place, or into others that `change` returns."""
        columns = self.read(name)
        self.write(name, change(columns) or columns)

    def rewrite(self, **fields: Any) -> None:
        """Replaces fields of the manifest."""
        write_manifest(dataclasses.replace(self.manifest, **fields), str(self.directory))

    def doctor(self, split: str, **statistics: Any) -> None:
        """Replaces statistics of a split in the manifest."""
        said: Mapping[str, Any] = self.manifest.statistics
        self.rewrite(statistics={**said, split: {**said[split], **statistics}})


@pytest.fixture
def workbench(make: Callable[..., Path], tmp_path: Path) -> Callable[..., Workbench]:
    """A copy of a corpus that was made with some options."""

    def copy(**options: Any) -> Workbench:
        return Workbench(Path(shutil.copytree(make(**options), tmp_path / "corpus")))

    return copy
