"""Validates a corpus: reads every shard again, and combines the findings."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from pipeline import files
from pipeline.beam.corpus.parts import SPLITS
from pipeline.errors import ConfigError
from pipeline.inspection.corpus import Corpus, open_corpus
from pipeline.inspection.validation.listing import (
    check_contents,
    check_index,
    check_names,
    check_presence,
    shard_indexes,
)
from pipeline.inspection.validation.problems import Problem
from pipeline.inspection.validation.rates import check_pairs, check_rates
from pipeline.inspection.validation.repeats import Repeats, find_copies, find_excess, find_shared_passages
from pipeline.inspection.validation.shard import ShardFindings, ShardTask, validate_shard
from pipeline.inspection.validation.totals import add_up, check_totals
from pipeline.inspection.validation.vocabulary import VocabularyFacts, read_vocabulary_facts
from pipeline.inspection.validation.windows import WindowSearch
from pipeline.instances.pairings import has_pairs
from pipeline.manifest import Shard

_WIDEST_WINDOW, _LONGEST_PASSAGE = 32, 128  # Tokens; for short examples, one and three quarters of max_seq_length.
_MOST_WINDOWS = 1 << 24  # Of the validation split, to be kept in memory: 128 MB.


@dataclass
class Validation:
    """The result of a validation.

    Attributes:
        problems: all problems.
        notes: additional notes, by check.
        skipped: why a check was not made, by check.
        shards: the number of shards read.
        examples: the number of valid examples.
        bytes: the number of bytes read.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    shards: int = 0
    examples: int = 0
    bytes: int = 0


def validate_corpus(
    directory: str, *, workers: int = 1, max_repeats: float = 0.001, show_progress: bool = False
) -> Validation:
    """Re-reads a corpus and makes all of `pipeline.inspection.validation.problems.CHECKS`.

    Args:
        directory: its directory.
        workers: the number of processes to use.
        max_repeats: the allowed share, in [0, 1], of examples whose text occurs more often than `dupe_factor` explains,
            and of validation passages that also occur in training text.
        show_progress: whether to draw a progress bar on standard error.

    Raises:
        CorpusError: if the corpus is unfinished or its manifest cannot be read.
        ConfigError: if `max_repeats` is out of range.
    """
    if not 0 <= max_repeats <= 1:
        raise ConfigError("--max-repeats must be between 0 and 1", received=max_repeats)
    corpus = open_corpus(directory)
    result = Validation()
    present = files.list_names(directory)
    vocabulary, problems = read_vocabulary_facts(corpus)
    result.problems += [*check_names(corpus), *check_presence(corpus, present), *problems]
    result.problems += check_index(corpus, present)
    if corpus.manifest.index is None:
        result.skipped["index"] = "the corpus has none: it was made by an earlier version"
    shards = [shard for shard in corpus.manifest.shards if shard.name in set(present)]
    train, validation, known = _read_shards(corpus, shards, vocabulary, workers, show_progress)
    findings = [*train, *validation]
    result.shards, result.bytes = len(findings), sum(found.bytes for found in findings)
    result.examples = sum(len(found.numbers) for found in findings)
    result.problems += [*check_contents(corpus, findings), *(p for found in findings for p in found.problems)]

    tallies = add_up(corpus, findings)
    if result.problems:
        result.skipped["totals"] = "the statistics cover all examples, some of which are missing or wrong"
    else:
        result.problems += check_totals(corpus, findings, tallies)
    if corpus.config.masking == "static":
        result.problems += [problem for split in SPLITS for problem in check_rates(corpus, split, tallies[split])]
    else:
        result.skipped |= dict.fromkeys(("masks", "rates"), "dynamic masking: masks are drawn when examples are read")
    if has_pairs(corpus.config.pairing):
        result.problems += [problem for split in SPLITS for problem in check_pairs(corpus, split, tallies[split])]
    else:
        result.skipped["pairs"] = f"{corpus.config.pairing}: examples have no label"
    _check_repeats(result, corpus, train, validation, known, max_repeats)
    return result


def _check_repeats(
    result: Validation,
    corpus: Corpus,
    train: list[ShardFindings],
    validation: list[ShardFindings],
    known: np.ndarray,
    max_repeats: float,
) -> None:
    """Reports repeated text as a problem if there is too much of it, otherwise as a note; repeated masks always."""

    def judge(check: str, split: str, what: str, repeats: Repeats) -> None:
        note = f"{split}: {repeats.found:,} of {repeats.total:,} {what}"
        if repeats.found > max_repeats * repeats.total:
            remedy = f"the limit is {max_repeats:.2%}. Deduplicate the text, or raise --max-repeats"
            result.problems.extend([*repeats.problems, Problem(check, f"{note}; {remedy}")])
        elif repeats.found:
            result.notes[check] = "; ".join(filter(None, [result.notes.get(check), note]))

    result.problems += find_copies([*train, *validation]).problems
    if corpus.config.pairing == "single-sentences":
        result.notes["duplicates"] = "with the same mask: single sentences are repeated in any text"
        result.skipped["split"] = "single sentences are repeated in any text"
        return
    for split, findings, copies in (("train", train, corpus.config.copies()), ("validation", validation, 1)):
        judge("duplicates", split, "examples repeat the text of others", find_excess(findings, copies))
    if len(known):
        shared = find_shared_passages(validation, train, known)
        judge("split", "validation", "passages also occur in training text", shared)
    else:
        result.skipped["split"] = "the validation split has no text that is long enough"


def _read_shards(
    corpus: Corpus, shards: Sequence[Shard], vocabulary: VocabularyFacts, workers: int, show_progress: bool
) -> tuple[list[ShardFindings], list[ShardFindings], np.ndarray]:
    """Reads the shards: first the validation split, then the training split, which it searches for the same windows.

    Returns:
        The findings of the training shards and of the validation shards, and the latter's windows, uint64, ascending.
    """
    search = _window_search(corpus)
    indexes = shard_indexes(corpus)
    lengths = [0, *(spec.max_seq_length for spec in corpus.config.specs())]

    def tasks(split: str, search: WindowSearch) -> list[ShardTask]:
        return [
            ShardTask(
                path=corpus.path(shard),
                shard=shard,
                spec=corpus.manifest.shard_spec(shard),
                config=corpus.config,
                vocabulary=vocabulary,
                longer_than=max(length for length in lengths if length < shard.max_seq_length),
                search=search,
                index=indexes.get(shard.name),
            )
            for shard in shards
            if shard.split == split
        ]

    from tqdm import tqdm

    total = sum(shard.bytes for shard in shards)
    with (
        _Runner(min(workers, len(shards))) as runner,
        tempfile.TemporaryDirectory() as folder,
        # A terminal is updated often, a log file rarely.
        tqdm(
            total=total,
            desc="validate",
            unit="B",
            unit_scale=True,
            disable=not show_progress,
            mininterval=0.1 if sys.stderr.isatty() else 10,
        ) as bar,
    ):

        def run(tasks: list[ShardTask]) -> Iterator[ShardFindings]:
            for task, found in zip(tasks, runner.map(tasks), strict=True):
                bar.update(task.shard.bytes)
                yield found

        validation = list(run(tasks("validation", search)))
        known = np.unique(np.concatenate([np.zeros(0, np.uint64), *(found.windows.windows for found in validation)]))
        path = os.path.join(folder, "windows.npy")
        np.save(path, known)
        train = list(run(tasks("train", dataclasses.replace(search, known_path=path))))
    return train, validation, known


def _window_search(corpus: Corpus) -> WindowSearch:
    tokens = sum(shard.tokens for shard in corpus.manifest.split("validation"))
    length = corpus.config.max_seq_length
    return WindowSearch(
        fewest_tokens=min(_LONGEST_PASSAGE, 3 * length // 4),
        width=min(_WIDEST_WINDOW, max(2, length // 4)),
        one_in=max(4, tokens // _MOST_WINDOWS),
        pairing=corpus.config.pairing,
    )


class _Runner:
    """Validates shards in this process, or in several."""

    def __init__(self, workers: int) -> None:
        # Spawned, because TensorFlow does not work after a fork.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context) if workers > 1 else None

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardFindings]:
        """Yields the findings, in the order of the tasks."""
        return self._pool.map(validate_shard, tasks) if self._pool else map(validate_shard, tasks)
