"""The vocabulary job: words counted in Beam, WordPiece learned from the counts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import files
from pipeline.beam.config import VocabConfig
from pipeline.beam.inputs import InputPlan, plan_inputs
from pipeline.beam.work import WorkFolder
from pipeline.errors import InputError


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
    from pipeline.tokenizers.wordpiece_learner import coverage, learn_wordpiece

    plan = plan_inputs(config.input, config.format, config.block_bytes)
    print(plan, file=sys.stderr, flush=True)
    # Beside the output: a place that is there for all workers, and where it can be seen whether writing is allowed.
    job = VocabularyJob(plan.format, config.lower_case, WorkFolder(files.temporary_name(config.output) + ".d"))
    job.work.make()
    try:
        counts = _count_words(job, plan, beam_args, workers, show_progress)
    finally:
        job.work.clear()
    frequent = {word: count for word, count in counts.items() if count >= config.min_count}
    if not frequent:
        raise InputError(
            f"No word of the input occurs at least min_count = {config.min_count} times",
            received=f"{len(counts):,} distinct words",
            do="Give more text, or lower --min-count",
        )
    vocabulary = learn_wordpiece(frequent, vocab_size=config.vocab_size, unused_tokens=config.unused_tokens)
    files.write_atomically(config.output, "".join(f"{token}\n" for token in vocabulary).encode())
    return (
        f"{config.output}: {len(vocabulary):,} entries learned from {sum(counts.values()):,} words"
        f" ({len(counts):,} distinct). {coverage(vocabulary, counts)}"
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
