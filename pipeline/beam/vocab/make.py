"""The vocabulary job, which counts words in Beam and learns a vocabulary from the counts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence

from pipeline import files
from pipeline.beam.running.runner import check_paths
from pipeline.beam.running.work import WorkFolder
from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.extend import Base, Extended, describe_added, describe_extension, extend_vocabulary, read_base
from pipeline.beam.vocab.summary import TextCounts, measures, readable
from pipeline.beam.vocab.word_counts import WordCounts
from pipeline.config.tree import to_dict
from pipeline.errors import InputError, VocabularyError
from pipeline.locks import locked
from pipeline.text.inputs import InputPlan, plan_inputs
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.learning.learn import learn_vocabulary
from pipeline.tokenizers.normalizer import strip_accents
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS
from pipeline.version import __version__
from pipeline.worth_a_look import render, vocabulary_notes

_MANY = 0.05  # Share of words.


def make_vocabulary(
    config: VocabConfig,
    *,
    beam_args: Sequence[str] = (),
    workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = True,
) -> str:
    """Learns a vocabulary from text and writes it, with a `.json` file that describes its source and its coverage.

    Args:
        config: the options of the vocabulary, with its inputs and its output file.
        beam_args: Beam's own options, such as `["--runner=DaskRunner"]`; without `--runner`, the job runs on this
            machine.
        workers: number of processes to use on this machine.
        overwrite: whether to replace a file that is not a vocabulary made by this program.
        show_progress: whether to show a progress bar on standard error.

    Returns:
        A summary of the vocabulary, its source, and its coverage of the held-out documents, as text.

    Raises:
        UserError: for any problem that the user can fix.

    Example:

    ```python
    from pipeline.beam import VocabConfig, make_vocabulary

    config = VocabConfig(input=("texts/*.txt",), output="vocab.txt", vocab_size=16000)
    print(make_vocabulary(config, workers=2))
    ```
    """
    check_paths(beam_args, (*config.input, config.output))
    files.check_output_file(config.output, files.is_as_described, overwrite=overwrite, beside=[f"{config.output}.json"])
    old = read_base(config) if config.extend else None
    # Decided before words are counted: they are counted as they will be cut.
    lower_case = old.tokenizer.lower_case if old is not None else config.lower_case is not False
    config = dataclasses.replace(config, lower_case=lower_case)
    plan = plan_inputs(config)
    folder, _, name = config.output.rpartition("/")
    with locked(files.join(folder or ".", f".{name}.lock"), owner=f"the vocabulary {config.output}"):
        return _make(config, old, plan, beam_args, workers, show_progress)


def _make(
    config: VocabConfig,
    old: Base | None,
    plan: InputPlan,
    beam_args: Sequence[str],
    workers: int,
    show_progress: bool,
) -> str:
    print(plan, file=sys.stderr, flush=True)
    whole = old is not None and old.counts_whole_words
    learned, held_out, counted = _count_words(config, whole, plan, beam_args, workers, show_progress)
    if not learned.words:
        counted.clear()
        raise InputError(
            "The text must contain words to learn a vocabulary from",
            received=f"none in {learned.documents:,} documents, with {held_out.documents:,} documents held out",
            do="Check the input, its --format and --held-out-fraction",
        )
    extended: Extended | None = None
    if old is not None:
        try:
            extended = extend_vocabulary(config, old, learned.word_counts)
        except VocabularyError:
            counted.clear()
            raise
        data, tokenizer = extended.data, extended.tokenizer
    else:
        data = learn_vocabulary(
            learned.word_counts,
            kind=config.kind,
            vocab_size=config.vocab_size,
            lower_case=bool(config.lower_case),
            special_tokens=(*SPECIAL_TOKENS, *config.special_tokens),
            unused_tokens=config.unused_tokens,
            character_coverage=config.character_coverage,
            byte_fallback=config.byte_fallback,
            min_count=config.min_count,
        )
        # A SentencePiece model folds case itself, and a tokenizer.json has a normaliser.
        folds = bool(config.lower_case) and config.kind == "wordpiece"
        tokenizer = make_tokenizer(data, name=config.output, lower_case=None if config.kind == "bytebpe" else folds)
    report = coverage(tokenizer, held_out.word_counts) if held_out.words else None
    before = coverage(old.tokenizer, held_out.word_counts) if old is not None and held_out.words else None
    notes = vocabulary_notes(
        asked=config.vocab_size if old is None else old.tokenizer.vocab_size,
        entries=tokenizer.vocab_size,
        kind=config.kind,
        min_count=config.min_count,
        unknown_share=report.unknown_share if report else 0.0,
        strips_marks=_words_stripped(held_out.word_counts) if tokenizer.lower_case else "",
        adds=(config.add, len(extended.tokens)) if extended else None,
    )
    left_out = {"input", "output", *(("vocab_size",) if config.extend else ("extend", "add"))}
    description = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "entries": tokenizer.vocab_size,
        "options": {name: value for name, value in to_dict(config).items() if name not in left_out}
        | ({"kind": tokenizer.describe().kind} if config.extend else {}),
        **({"extends": describe_extension(config, old, extended)} if old is not None and extended else {}),
        "inputs": plan.describe(),
        "learned_from": learned.describe(),
        "held_out": held_out.describe()
        | (measures(report) if report else {})
        | ({"before": measures(before)} if before else {}),
        "version": __version__,
        "worth_a_look": notes,
    }
    files.write_atomically(config.output, data)
    files.write_atomically(f"{config.output}.json", files.json_bytes(description))
    counted.clear()
    source = f"learned from {learned.summary()}"
    if old is not None and extended is not None:
        summary = f"{config.output}: {describe_added(config, old, extended)}, {source}"
    else:
        summary = f"{config.output}: {tokenizer.vocab_size:,} entries ({config.kind}), {source}"
    return "\n".join(filter(None, [summary, readable(held_out, report, before), render(notes)]))


def _words_stripped(word_counts: Mapping[str, int]) -> str:
    """Lists examples of words without case that lose their marks when lower-cased, if these are many."""
    without_case = (word for word in word_counts if not word.isascii() and word.lower() == word.upper())
    changed = [word for word in without_case if strip_accents(word) != word]
    if sum(word_counts[word] for word in changed) <= _MANY * sum(word_counts.values()):
        return ""
    changed.sort(key=lambda word: (-word_counts[word], word))
    return ", ".join(f"{word} becomes {strip_accents(word)}" for word in changed[:3])


def _count_words(
    config: VocabConfig, whole: bool, plan: InputPlan, beam_args: Sequence[str], workers: int, show_progress: bool
) -> tuple[TextCounts, TextCounts, WorkFolder]:
    """Counts the words to learn from and those of held-out text; the caller clears the returned folder of counts."""
    # Beside the output, where all workers have access, and where missing write permission shows early.
    folder = files.temporary_name(config.output) + ".d"
    options = {name: value for name, value in to_dict(config).items() if name not in ("input", "output")}
    # Determines the counts, so that those of a different run are not used.
    identity = [options, whole, __version__, [list(file) for file in plan.files]]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    job = WordCounts(config, folder, len(plan.blocks), key, whole)
    if (job.counted.begun() or {}).get("key") != key:
        job.counted.clear()
    job.counted.begin({"key": key, "run": key})
    job.plan.write(plan.blocks)
    job.run(plan.blocks, beam_args=beam_args, workers=workers, show_progress=show_progress)
    results = job.counted.results(range(job.blocks)).values()
    learned, held_out = (
        TextCounts(
            documents=sum(result["documents"][held_out] for result in results),
            words=sum(result["words"][held_out] for result in results),
            word_counts=word_counts,
        )
        for held_out, word_counts in enumerate(job.most_frequent_words())
    )
    return learned, held_out, job.counted
