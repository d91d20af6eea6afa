"""The evaluation of a trained model, on a corpus and on text."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import files
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.manifest import Manifest, read_manifest
from pipeline.tokenizers import Tokenizer
from pipeline.training.configs import DataConfig
from pipeline.training.data.limits import RecordLimits
from pipeline.training.data.loader import build_dataset, readable
from pipeline.training.evaluation.pseudo_perplexity import PseudoLikelihood, score_sequences
from pipeline.training.evaluation.scores import build_scorer
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.exchange.vocabularies import check_vocabulary
from pipeline.training.objectives.base import Objective
from pipeline.training.objectives.masked_lm import KINDS
from pipeline.training.objectives.registry import MASKED_LM, OBJECTIVES

_LONGEST_PART = 512  # Tokens of a text that are scored together, where the encoder has no limit.


TOGETHER = "together"


def evaluate_corpora(
    trained: TrainedModel, corpus_dirs: Sequence[str], *, pseudo_tokens: int = 1000, **options: Any
) -> dict[str, dict[str, Any]]:
    """Evaluates a model on the validation examples of several corpora, of each and of all.

    Args:
        trained: the model.
        corpus_dirs: directories of the corpora; those without validation examples are left out.
        pseudo_tokens: as `evaluate_corpus`.
        **options: of `evaluate_corpus`.

    Returns:
        Its results by short names of the corpora, and of all `TOGETHER`, which has no pseudo-perplexity.

    Raises:
        CorpusError: as `evaluate_corpus`.
    """
    names = dict(zip(corpus_dirs, files.short_names(corpus_dirs), strict=True))
    held_out = [
        path for path in corpus_dirs if any(shard.examples for shard in read_manifest(path).split("validation"))
    ]
    together, found, examples = _Counts(), {}, 0
    for path in held_out or corpus_dirs:
        counts = _Counts()
        found[names[path]] = evaluate_corpus(trained, path, pseudo_tokens=pseudo_tokens, counts=counts, **options)
        together.add(counts)
        examples += found[names[path]]["examples"]
    if len(found) > 1:
        found[TOGETHER] = {"examples": examples, **together.results(), "pseudo_perplexity": None}
    return found


def evaluate_corpus(
    trained: TrainedModel,
    corpus_dir: str,
    *,
    batch_size: int = 64,
    pseudo_tokens: int = 1000,
    show_progress: bool = True,
    counts: _Counts | None = None,
) -> dict[str, Any]:
    """Evaluates a model on every validation example of a corpus, as its run does.

    Masks that are drawn at reading are the run's: its seed and its share of predictions. Next-sentence labels that the
    run does not read are not read here either.

    Args:
        trained: the model.
        corpus_dir: directory of a finished corpus, made with the model's vocabulary.
        batch_size: examples of a batch.
        pseudo_tokens: tokens, of the first examples, whose pseudo-perplexity is computed; 0 for none.
        show_progress: whether to draw a progress bar.
        counts: sums to add to.

    Returns:
        `examples`; `loss`, as in training; `masked_lm`: `predictions`, `loss` (nats), `perplexity` (its exponential),
        `accuracy` and `accuracy_at_5` of "all" predictions and by what stood in the token's place: "masked" ([MASK]),
        "random" (another token), "kept" (the token itself, by the plan or by chance); `next_sentence` and each other
        objective of a classification head: `loss` and `accuracy`, or None; `pseudo_perplexity`: `value`, `tokens` and
        `texts`, or None.

    Raises:
        CorpusError: if the corpus has no validation examples, another vocabulary, or too long examples, or if a record
            cannot be read.
    """
    manifest = read_manifest(corpus_dir)
    _check_corpus(trained, manifest, corpus_dir)
    if batch_size < 1 or pseudo_tokens < 0:
        raise ConfigError(
            "The batch size must be at least 1, and the number of tokens for the pseudo-perplexity at least 0",
            received=f"{batch_size} and {pseudo_tokens}",
        )
    dataset = build_dataset(
        _data(trained, manifest, corpus_dir, batch_size), limits=RecordLimits.of(trained.config.encoder)
    )
    score = build_scorer(trained.model)
    counts = counts or _Counts()
    examples = sum(shard.examples for shard in manifest.split("validation"))
    with tqdm(total=examples, unit="example", desc="evaluate", disable=not show_progress) as bar:
        for batch in _arrays(dataset):
            places = np.argwhere(batch["masked_lm_weights"] > 0)
            rows, positions = places[:, 0], batch["masked_lm_positions"][tuple(places.T)]
            labels = batch["masked_lm_ids"][tuple(places.T)]
            scores = score(batch, np.stack([rows, positions], axis=1).astype(np.int32), labels)
            found = batch["input_word_ids"][rows, positions]
            kinds = np.where(found == trained.tokenizer.special_ids["mask"], 0, np.where(found == labels, 2, 1))
            counts.add_tokens(kinds, scores.losses, scores.ranks)
            counts.add_heads(batch, scores.heads)
            bar.update(len(batch["input_word_ids"]))
    likelihood = None
    if pseudo_tokens:
        special_ids = trained.tokenizer.special_ids
        sequences = _unmasked(_arrays(dataset), special_ids["pad"])
        likelihood = score_sequences(score, sequences, special_ids, max_tokens=pseudo_tokens)
    return {"examples": examples, **counts.results(), "pseudo_perplexity": _describe(likelihood)}


def evaluate_text(trained: TrainedModel, path: str) -> dict[str, Any]:
    """The exact pseudo-perplexity of a text file, a text a line.

    Texts that are longer than the model's sequences are cut, and the parts are scored on their own.

    Args:
        trained: the model.
        path: the file, UTF-8.

    Returns:
        `value`, `tokens` (specials left out) and `texts` (parts counted singly).

    Raises:
        InputError: if the file cannot be read or holds no text.
    """
    try:
        # At line feeds and carriage returns alone: a text may hold other characters that end lines, such as U+2028.
        lines = [line for line in re.split(r"[\r\n]+", files.read(path).decode("utf-8")) if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be UTF-8 text, with one text per line", received=str(error)) from error
    limit = (trained.config.encoder.max_position_embeddings or _LONGEST_PART) - 2
    sequences = _sequences(trained.tokenizer, lines, limit)
    likelihood = score_sequences(build_scorer(trained.model), sequences, trained.tokenizer.special_ids)
    if not likelihood.tokens:
        raise InputError(f"{path} must contain text, one per line", received="none")
    described = _describe(likelihood)
    assert described is not None
    return described


@dataclasses.dataclass
class _Counts:
    """Sums over predictions, by kind: losses, predictions, right ones, right ones among five; and of other heads."""

    tokens: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((len(KINDS), 4)))
    heads: dict[str, float] = dataclasses.field(default_factory=dict)

    def add_tokens(self, kinds: np.ndarray, losses: np.ndarray, ranks: np.ndarray) -> None:
        values = np.stack([losses, np.ones_like(losses), ranks < 1, ranks < 5], axis=1).astype(np.float64)
        np.add.at(self.tokens, kinds, values)

    def add_heads(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        for objective in _of_heads():
            scored = objective.score(batch, outputs)
            for name, value in (objective.sums(scored) if scored is not None else {}).items():
                self.heads[name] = self.heads.get(name, 0.0) + float(value)

    def add(self, other: _Counts) -> None:
        self.tokens += other.tokens
        for name, value in other.heads.items():
            self.heads[name] = self.heads.get(name, 0.0) + value

    def results(self) -> dict[str, Any]:
        masked_lm = {"all": _means(self.tokens.sum(0))}
        masked_lm |= {kind: _means(row) for kind, row in zip(KINDS, self.tokens, strict=True)}
        heads: dict[str, dict[str, float] | None] = {}
        for objective in _of_heads():
            means = objective.means(self.heads)
            heads[objective.name] = (
                {"loss": means[objective.loss_name], "accuracy": means[objective.accuracy_name]} if means else None
            )
        total = masked_lm["all"]["loss"] + sum(head["loss"] for head in heads.values() if head)
        return {"loss": total, "masked_lm": masked_lm, **heads}


def _of_heads() -> list[Objective]:
    """The objectives of classification heads."""
    return [objective for objective in OBJECTIVES if objective is not MASKED_LM]


def _means(sums: np.ndarray) -> dict[str, Any]:
    loss, number, right, right_at_5 = sums.tolist()
    if not number:  # No such predictions: a corpus may be made without random or kept tokens.
        return {"predictions": 0, "loss": None, "perplexity": None, "accuracy": None, "accuracy_at_5": None}
    mean = loss / number
    return {
        "predictions": int(number),
        "loss": mean,
        "perplexity": math.exp(mean) if mean < 700 else math.inf,
        "accuracy": right / number,
        "accuracy_at_5": right_at_5 / number,
    }


def _describe(likelihood: PseudoLikelihood | None) -> dict[str, Any] | None:
    if likelihood is None or not likelihood.tokens:
        return None
    return {"value": likelihood.perplexity, "tokens": likelihood.tokens, "texts": likelihood.texts}


def _data(trained: TrainedModel, manifest: Manifest, corpus_dir: str, batch_size: int) -> DataConfig:
    """How to read a corpus: all of it, and where its masks are still to be drawn, with those of the model's run."""
    held = trained.evaluated_on
    data = DataConfig(
        input_path=corpus_dir,
        global_batch_size=batch_size,
        is_training=False,
        use_next_sentence_label=False if held.use_next_sentence_label is False else None,
        seed=held.seed,
    )
    if manifest.spec.masked:
        return data
    names = [field.name for field in dataclasses.fields(data) if field.name.startswith(("mask", "final_mask", "max_"))]
    return dataclasses.replace(data, **{name: getattr(held, name) for name in names})


def _arrays(dataset: Any) -> Iterator[dict[str, np.ndarray]]:
    for batch in readable(dataset):
        yield {name: tensor.numpy() for name, tensor in batch.items()}


def _unmasked(batches: Iterator[Mapping[str, Any]], pad_id: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Examples one by one, with the original tokens in the places of the masks, and without padding at the end.

    Each sequence of a packed row is one.
    """
    for batch in batches:
        sequence_ids = batch.get("input_sequence_ids", np.zeros_like(batch["input_word_ids"]))
        for row in range(len(batch["input_word_ids"])):
            real = batch["masked_lm_weights"][row] > 0
            ids = batch["input_word_ids"][row].copy()
            ids[batch["masked_lm_positions"][row][real]] = batch["masked_lm_ids"][row][real]
            ids[batch["input_mask"][row] == 0] = pad_id
            length = int(np.flatnonzero(ids != pad_id).max(initial=-1)) + 1
            types = batch["input_type_ids"][row]
            bounds = [0, *(np.flatnonzero(np.diff(sequence_ids[row, :length])) + 1), length]
            for start, end in itertools.pairwise(bounds):
                yield ids[start:end], types[start:end]


def _sequences(tokenizer: Tokenizer, lines: list[str], limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`[CLS] text [SEP]` of each line, or of each part of `limit` tokens of it."""
    ids, splits = tokenizer.encode(lines)
    cls, sep = tokenizer.special_ids["cls"], tokenizer.special_ids["sep"]
    for begin, end in itertools.pairwise(splits):
        for start in range(begin, end, limit):
            part = np.concatenate([[cls], ids[start : min(start + limit, end)], [sep]]).astype(np.int32)
            yield part, np.zeros_like(part)


def _check_corpus(trained: TrainedModel, manifest: Manifest, corpus_dir: str) -> None:
    check_vocabulary(manifest.tokenizer, corpus_dir, trained.tokenizer, owner="the model")
    encoder = trained.config.encoder
    if encoder.max_position_embeddings is not None and manifest.spec.max_seq_length > encoder.max_position_embeddings:
        raise CorpusError(
            f"The corpus's examples must not be longer than the model's maximum of {encoder.max_position_embeddings}"
            " tokens",
            received=manifest.spec.max_seq_length,
            do="Make a corpus of shorter examples",
        )
    if manifest.spec.next_sentence and encoder.type_vocab_size is not None and encoder.type_vocab_size < 2:
        raise CorpusError(
            "A corpus of sentence pairs needs a model's type_vocab_size of at least 2",
            received=encoder.type_vocab_size,
            do="Make a corpus of single segments, with corpus --pairing full-sentences",
        )
