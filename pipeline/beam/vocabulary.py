"""The vocabulary job: words counted in Beam, WordPiece learned from the counts."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import files
from pipeline.beam.config import VocabConfig
from pipeline.beam.inputs import InputPlan, plan_inputs
from pipeline.beam.work import WorkFolder
from pipeline.config import to_dict
from pipeline.tokenizers.coverage import coverage
from pipeline.tokenizers.wordpiece import WordPieceTokenizer
from pipeline.tokenizers.wordpiece_learner import learn_wordpiece
from pipeline.version import __version__


@dataclass(frozen=True)
class VocabularyJob:
    """What the workers of a vocabulary job need, fit for pickling.

    Attributes:
        format: the format of the text.
        lower_case: whether to lower-case it and strip accents.
        work: where the blocks leave their marks.
    """

    format: str
    lower_case: bool
    work: WorkFolder

    @property
    def counts_path(self) -> str:
        """The file of the summed counts: a line a word, in the order of the words, behind a tab its count."""
        return files.join(self.work.path, "counts.tsv")


def make_vocabulary(
    config: VocabConfig,
    *,
    beam_args: Sequence[str] = (),
    workers: int = 1,
    show_progress: bool = True,
) -> str:
    """Learns a vocabulary from text and writes it.

    Args:
        config: the options.
        beam_args: Beam's own options; without a `--runner` among them the job runs on this machine.
        workers: processes to use on this machine.
        show_progress: whether to draw a progress bar on standard error.

    Returns:
        A line that says what was learned from what.

    Raises:
        UserError: for whatever the user can put right.
    """
    plan = plan_inputs(config.input, config.format, config.block_bytes)
    print(plan, file=sys.stderr, flush=True)
    # Beside the output: a place that is there for all workers, and where it can be seen whether writing is allowed.
    job = VocabularyJob(plan.format, config.lower_case, WorkFolder(files.temporary_name(config.output) + ".d"))
    job.work.make()
    try:
        counts = _count_words(job, plan, beam_args, workers, show_progress)
    finally:
        job.work.clear()
    vocabulary = learn_wordpiece(
        counts, vocab_size=config.vocab_size, unused_tokens=config.unused_tokens, min_count=config.min_count
    )
    data = "".join(f"{token}\n" for token in vocabulary).encode()
    report = coverage(WordPieceTokenizer(data, name=config.output, lower_case=config.lower_case), counts)
    description = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "entries": len(vocabulary),
        "options": {name: value for name, value in to_dict(config).items() if name not in ("input", "output")},
        "inputs": [info._asdict() for info in plan.files],
        "words": report.words,
        "distinct_words": len(counts),
        "unknown_words": report.unknown_words,
        "tokens_per_word": round(report.tokens_per_word, 4),
        "version": __version__,
    }
    files.write_atomically(config.output, data)
    files.write_atomically(f"{config.output}.json", (json.dumps(description, indent=1) + "\n").encode())
    return (
        f"{config.output}: {len(vocabulary):,} entries from {report.words:,} words ({len(counts):,} distinct);"
        f" {report.tokens_per_word:.3f} tokens a word, {report.unknown_share:.3%} of the words [UNK]"
    )


def _count_words(
    job: VocabularyJob, plan: InputPlan, beam_args: Sequence[str], workers: int, show_progress: bool
) -> dict[str, int]:
    from pipeline.beam.transforms import CountWords

    job.work.run(
        plan.blocks,
        lambda root: root | "CountWords" >> CountWords(job, plan.blocks),
        beam_args=beam_args,
        workers=workers,
        description="words",
        show_progress=show_progress,
    )
    lines = files.read(job.counts_path).decode().split("\n")[:-1]
    return {word: int(count) for word, _, count in (line.partition("\t") for line in lines)}
