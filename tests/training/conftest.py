"""A tiny corpus with a rule to learn, and small models that know its vocabulary."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.commands.common import printed_messages
from pipeline.config.tree import from_dict
from pipeline.manifest import Manifest, Shard, read_manifest, write_index, write_manifest
from pipeline.records.chunks import records_per_chunk
from pipeline.records.scanning import index_file
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.seeding import generator
from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import ExperimentConfig
from pipeline.training.encoders import BaseEncoderConfig
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask

WORDS = [f"w{i:02d}" for i in range(45)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
VOCABULARY_FILE = "\n".join(VOCABULARY).encode() + b"\n"
PAD, UNK, CLS, SEP, MASK = range(5)
FIRST = len(VOCABULARY) - len(WORDS)


@pytest.fixture(autouse=True)
def _printed_messages() -> Iterator[None]:
    """As the command line has it."""
    with printed_messages():
        yield


@dataclass
class TinyCorpus:
    """What was written, beside where."""

    directory: Path
    spec: RecordSpec
    columns: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # By shard.

    def index(self) -> None:
        """Writes an index of the shards as they are."""
        manifest = read_manifest(str(self.directory))
        shards = [(str(self.directory / shard.name), shard.max_seq_length) for shard in manifest.shards]
        indexes = [index_file(path, records_per_chunk(length)).entries for path, length in shards]
        index = write_index(indexes, str(self.directory))
        write_manifest(dataclasses.replace(manifest, index=index), str(self.directory))

    def split(self, name: str) -> dict[str, np.ndarray]:
        """The columns of all shards of a split, one after the other."""
        shards = [columns for shard, columns in self.columns.items() if shard.startswith(name)]
        return {key: np.concatenate([shard[key] for shard in shards]) for key in shards[0]}


def make_examples(
    spec: RecordSpec, count: int, seed: int, shortest: int, *, kinds: bool = False
) -> dict[str, np.ndarray]:
    """Sentence pairs of one repeated word; a random next sentence repeats another one."""
    rng = generator(seed, "tiny-corpus")
    length, room = spec.max_seq_length, spec.max_predictions_per_seq
    features = dataclasses.replace(spec, feature_names="v2").features
    columns = {feature.name: np.zeros((count, feature.length), feature.dtype) for feature in features}
    for row in range(count):
        tokens = int(rng.integers(shortest, length + 1))
        start = int(rng.integers(len(WORDS)))
        ids = np.full(tokens, FIRST + start)
        middle = tokens // 2
        ids[[0, middle, tokens - 1]] = CLS, SEP, SEP
        is_random = bool(rng.integers(2))
        if is_random:
            ids[middle + 1 : -1] = FIRST + (ids[middle + 1 : -1] - FIRST + 20) % len(WORDS)
        candidates = np.setdiff1d(np.arange(1, tokens - 1), [middle])
        number = int(rng.integers(1, min(room, len(candidates)) + 1))
        positions = np.sort(rng.choice(candidates, number, replace=False))
        columns["masked_lm_positions"][row, :number] = positions
        columns["masked_lm_ids"][row, :number] = ids[positions]
        columns["masked_lm_weights"][row, :number] = 1.0
        originals = ids[positions]
        ids[positions] = MASK
        if kinds:  # Masked, replaced and kept in turn, rather than all masked.
            turn = (np.arange(number) + row) % 3
            ids[positions] = np.choose(turn, [MASK, FIRST + (originals - FIRST + 1) % len(WORDS), originals])
        columns["input_word_ids"][row, :tokens] = ids
        columns["input_mask"][row, :tokens] = 1
        columns["input_type_ids"][row, middle + 1 : tokens] = 1
        if spec.next_sentence:
            columns["next_sentence_labels"][row] = is_random
    return columns


def _unmasked(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Examples with their mask undone, as dynamic shards hold them; every token is a word."""
    ids = columns["input_word_ids"].copy()
    rows, predictions = np.nonzero(columns["masked_lm_weights"])
    ids[rows, columns["masked_lm_positions"][rows, predictions]] = columns["masked_lm_ids"][rows, predictions]
    kept = {name: columns[name] for name in ("input_type_ids", "next_sentence_labels") if name in columns}
    return {"input_word_ids": ids, "word_starts": (ids >= FIRST).astype(np.int64)} | kept


def _write_corpus(
    directory: Path,
    *,
    spec: RecordSpec | None = None,
    bins: tuple[int, ...] = (),
    train: tuple[int, ...] = (50, 70, 40),
    validation: tuple[int, ...] = (21, 12),
    kinds: bool = False,
) -> TinyCorpus:
    """Writes a corpus with the given numbers of examples in its shards, or in those of each of its bins of lengths."""
    spec = spec or RecordSpec(24, 4)
    specs = [dataclasses.replace(spec, max_seq_length=length) for length in bins] or [spec]
    directory.mkdir(parents=True, exist_ok=True)
    corpus = TinyCorpus(directory, spec)
    shards = []
    for split, sizes in (("train", train), ("validation", validation)):
        for index, (count, shape) in enumerate(itertools.product(sizes, specs)):
            length = f"-len{shape.max_seq_length}" if bins else ""
            name = f"{split}{length}-{index:05d}-of-{len(sizes) * len(specs):05d}.tfrecord"
            shortest = max((length + 1 for length in bins if length < shape.max_seq_length), default=8)
            columns = make_examples(dataclasses.replace(shape, masked=True), count, len(shards), shortest, kinds=kinds)
            tokens = int(columns["input_mask"].sum())
            columns = columns if spec.masked else _unmasked(columns)
            data, _ = encode_tfrecords(shape, columns)
            (directory / name).write_bytes(data.tobytes())
            corpus.columns[name] = columns
            shards.append(
                Shard(
                    name=name,
                    split=split,
                    max_seq_length=shape.max_seq_length,
                    max_predictions_per_seq=shape.max_predictions_per_seq,
                    examples=count,
                    tokens=tokens,
                    predictions=int(columns["masked_lm_weights"].sum()) if spec.masked else 0,
                    bytes=data.size,
                    sha256="",
                )
            )
    (directory / "vocab.txt").write_bytes(VOCABULARY_FILE)
    manifest = Manifest(
        key="",
        options={
            "masked_lm_prob": 0.15,
            "masking_unit": "token",
            "max_ngram_size": 3,
            "mask_prob": 0.8,
            "random_prob": 0.1,
        },
        spec=spec,
        tokenizer=WordPieceTokenizer(VOCABULARY_FILE).describe(),
        inputs=(),
        shards=tuple(shards),
        statistics={},
        versions={},
    )
    write_manifest(manifest, str(directory))
    corpus.index()
    return corpus


def _tiny_config(**trainer: Any) -> ExperimentConfig:
    encoder = {
        "vocab_size": None,
        "hidden_size": 16,
        "num_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 24,
    }
    return from_dict(
        ExperimentConfig,
        {
            "task": {
                "model": {
                    "encoder": encoder,
                    # Dropout is on: its random state must be resumed as well.
                    "cls_heads": [{"name": "next_sentence", "inner_dim": 16, "dropout_rate": 0.1}],
                },
                "train_data": {"global_batch_size": 16, "shuffle_buffer_size": 32},
                "validation_data": {"global_batch_size": 16},
            },
            "trainer": {
                "train_steps": 24,
                "optimizer": {"learning_rate": 5e-3, "warmup_steps": 4},
                "summary_interval": 1,
                "validation_interval": 8,
                "checkpoint_interval": 5,
                "example": "w00 w01 [MASK] w03 [MASK]",
                **trainer,
            },
        },
    )


@pytest.fixture(scope="session")
def write_corpus() -> Callable[..., TinyCorpus]:
    """Writes a corpus into a directory; see `_write_corpus`."""
    return _write_corpus


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return _write_corpus(tmp_path_factory.mktemp("tiny") / "corpus")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights and dropout are the same in every run, whatever ran before."""
    keras.utils.set_random_seed(20190524)


# === Models whose every weight matters, as if they had been trained ===

ENCODER = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
}


def _make_trained(
    *, next_sentence: bool = True, head: dict[str, Any] | None = None, mlm_activation: str = "gelu", **encoder: Any
) -> TrainedModel:
    heads = (ClsHeadConfig(**{"inner_dim": 16, "name": "next_sentence", "dropout_rate": 0.1, **(head or {})}),)
    config = PretrainerConfig(
        encoder=BaseEncoderConfig.kinds[encoder.get("type", "bert")](**{**ENCODER, **encoder}),
        cls_heads=heads if next_sentence else (),
        mlm_activation=mlm_activation,
    )
    model = MaskedLMTask(MaskedLMConfig(model=config)).build_model()
    # Biases and layer norms too are other than at first, so that none can be forgotten or mistaken for another.
    draw = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + 0.3 * draw.normal(size=variable.shape))
    return TrainedModel(model, config, WordPieceTokenizer(VOCABULARY_FILE), VOCABULARY_FILE)


@pytest.fixture(scope="session")
def make_trained() -> Callable[..., TrainedModel]:
    """Makes a model with random weights."""
    return _make_trained


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    """A model with a next-sentence head."""
    return _make_trained()


@pytest.fixture(scope="session")
def batch() -> dict[str, np.ndarray]:
    """Four sequences of several lengths, with positions to predict."""
    draw = np.random.default_rng(3)
    lengths = np.array([24, 9, 1, 17])
    return {
        "input_word_ids": draw.integers(len(VOCABULARY), size=(4, 24)).astype(np.int32),
        "input_mask": (np.arange(24) < lengths[:, None]).astype(np.int32),
        "input_type_ids": draw.integers(2, size=(4, 24)).astype(np.int32),
        "masked_lm_positions": (draw.random((4, 5)) * lengths[:, None]).astype(np.int32),
    }


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., ExperimentConfig]:
    """A small model's experiment of 24 steps, with the given options of the trainer."""
    return _tiny_config


# === Packed rows ===


def _make_packed(
    rows: Sequence[Sequence[int]],
    *,
    length: int = 24,
    vocab_size: int = len(VOCABULARY),
    pairs: bool = True,
    predictions: int = 2,
    sequences: int = 5,
    seed: int = 11,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The same random examples twice: one in a row, in the order of the packed rows, and packed.

    Args:
        rows: of each packed row, the lengths of its sequences; each at least 4.
        length: tokens of a row, packed or not.
        vocab_size: entries of the vocabulary.
        pairs: whether the sequences are sentence pairs with a label.
        predictions: most predictions of a sequence.
        sequences: most sequences of a packed row.
        seed: of the tokens.
    """
    draw = np.random.default_rng(seed)
    count, room = sum(map(len, rows)), predictions * sequences
    shapes = dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), (length, np.int32))
    shapes |= dict.fromkeys(("masked_lm_positions", "masked_lm_ids"), (room, np.int32))
    shapes |= {"masked_lm_weights": (room, np.float32)}
    single = {name: np.zeros((count, *shape[:1]), shape[1]) for name, shape in shapes.items()}
    packed = {name: np.zeros((len(rows), *shape[:1]), shape[1]) for name, shape in shapes.items()}
    packed["input_sequence_ids"] = np.zeros((len(rows), length), np.int32)
    if pairs:
        single["next_sentence_labels"] = draw.integers(2, size=(count, 1)).astype(np.int32)
        for name, dtype in (("positions", np.int32), ("labels", np.int32), ("weights", np.float32)):
            packed[f"next_sentence_{name}"] = np.zeros((len(rows), sequences), dtype)
    example = 0
    for row, lengths in enumerate(rows):
        start = used = 0
        for number, tokens in enumerate(lengths):
            ids = draw.integers(FIRST, vocab_size, tokens)
            ids[[0, -1]] = CLS, SEP
            middle = int(draw.integers(1, tokens - 2)) if pairs else 0
            if pairs:
                ids[middle] = SEP
            places = np.setdiff1d(np.arange(1, tokens - 1), [middle])
            chosen = np.sort(draw.choice(places, min(len(places), int(draw.integers(1, predictions + 1))), False))
            answers = ids[chosen].copy()
            ids[chosen] = MASK
            types = (np.arange(tokens) > middle) * pairs
            for batch, at, begin, first in ((single, example, 0, 0), (packed, row, start, used)):
                place, end = slice(begin, begin + tokens), first + len(chosen)
                batch["input_word_ids"][at, place] = ids
                batch["input_mask"][at, place] = 1
                batch["input_type_ids"][at, place] = types
                batch["masked_lm_positions"][at, first:end] = begin + chosen
                batch["masked_lm_ids"][at, first:end] = answers
                batch["masked_lm_weights"][at, first:end] = 1.0
            packed["input_sequence_ids"][row, start : start + tokens] = number + 1
            if pairs:
                packed["next_sentence_positions"][row, number] = start
                packed["next_sentence_labels"][row, number] = single["next_sentence_labels"][example, 0]
                packed["next_sentence_weights"][row, number] = 1.0
            start, used, example = start + tokens, used + len(chosen), example + 1
    return single, packed


@pytest.fixture(scope="session")
def make_packed() -> Callable[..., tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Makes a batch of single examples and the same ones in packed rows; see `_make_packed`."""
    return _make_packed
