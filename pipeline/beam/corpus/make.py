"""The corpus job, which turns raw text into shards of training examples and a manifest."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence

from pipeline import files
from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.finish import describe_corpus, finish_corpus
from pipeline.beam.corpus.job import CorpusJob, plan_corpus
from pipeline.beam.running.launch import run_units
from pipeline.beam.running.runner import check_paths, workers_end_with_the_run
from pipeline.compiling import CORPUS_LOOPS, compile_loops
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.files import FileInfo
from pipeline.locks import locked
from pipeline.manifest import MANIFEST_NAME, Manifest, Shard, read_manifest
from pipeline.records.chunks import INDEX_NAME
from pipeline.text.inputs import InputPlan
from pipeline.text.reading.plan import Block
from pipeline.worth_a_look import render

_MOST_ROUNDS = 3  # Maximum attempts to remake shards that another job has overwritten.


def make_corpus(
    config: CorpusConfig,
    *,
    beam_args: Sequence[str] = (),
    workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = True,
) -> Manifest:
    """Makes a corpus from text, or continues an unfinished corpus with the same options.

    If the corpus is already finished, and its options, inputs and vocabulary are the same, nothing is done.

    Args:
        config: the options of the corpus, with its inputs and its output directory.
        beam_args: Beam's own options, such as `["--runner=DaskRunner"]`; without `--runner`, the job runs on this
            machine.
        workers: number of processes to use on this machine.
        overwrite: whether to replace a finished corpus that was made with other options or inputs.
        show_progress: whether to show a progress bar on standard error.

    Returns:
        The manifest of the corpus, as written to its directory.

    Raises:
        UserError: for any problem that the user can fix, such as a `CorpusError` if another job keeps writing to the
            directory. No incomplete file then has its final name.

    Example:

    ```python
    from pipeline.beam import CorpusConfig, make_corpus

    config = CorpusConfig(input=("texts/*.txt",), output="out/corpus", vocab="vocab.txt")
    manifest = make_corpus(config, workers=2)
    print(manifest.statistics["train"]["examples"])
    ```
    """
    check_paths(beam_args, (*config.input, config.output))
    job, plan = plan_corpus(config)
    files.make_directory(config.output)
    with locked(files.join(config.output, ".lock"), owner=f"the corpus {config.output}"):
        finished = _prepare_output(job, overwrite=overwrite)
        if finished is not None:
            _say(f"{config.output} is already finished, with the same options, inputs and vocabulary. Nothing to do.")
            return finished
        done = _results(job, plan)
        _say(f"{plan}{f', {len(done):,} of them finished earlier' * bool(done)}")
        _say(f"{job.casing}.")
        for _ in range(_MOST_ROUNDS):
            pending = [block for block in plan.blocks if block.index not in done]
            if pending:
                _make_blocks(job, plan, pending, beam_args, workers, show_progress)
            done = _results(job, plan)
            manifest = _finish(job, plan, done) if len(done) == len(plan.blocks) else None
            if manifest is not None:
                return manifest
            _say("Another job has written to some shards; writing them again.")
        raise CorpusError(
            f"Another job keeps writing to {config.output}",
            do="Cancel it where it runs, for example on a cluster; then run the same command again",
        )


def _make_blocks(
    job: CorpusJob,
    plan: InputPlan,
    pending: Sequence[Block],
    beam_args: Sequence[str],
    workers: int,
    show_progress: bool,
) -> None:
    """Makes the shards of blocks."""
    from pipeline.beam.corpus.deduplicate import Deduplication

    job.plan.write(plan.blocks)
    if job.config.dedup != "none":
        Deduplication(job.config, job.plan).run(
            plan.blocks, beam_args=beam_args, workers=workers, show_progress=show_progress
        )
    compile_loops(CORPUS_LOOPS)
    try:
        run_units(
            job.work,
            pending,
            job.build_shards,
            beam_args=beam_args,
            workers=workers,
            description="corpus",
            show_progress=show_progress,
        )
    finally:
        if workers_end_with_the_run(beam_args):  # Left in the middle of a block, if the run failed.
            files.remove_temporary(job.config.output, job.shard_names())


def _prepare_output(job: CorpusJob, *, overwrite: bool) -> Manifest | None:
    """Prepares the output directory; returns the manifest if this very corpus is already finished there."""
    output = job.config.output
    manifest_path = files.join(output, MANIFEST_NAME)
    if files.exists(manifest_path):
        manifest = read_manifest(output)
        edited = manifest.key == job.key and manifest.inputs_modified not in ("", job.modified)
        if manifest.key == job.key and not edited:
            if _is_complete(manifest, output):
                job.work.clear()  # In case the run that finished it was stopped before it did so.
                return manifest
            _say(f"{output} has lost files since it was finished; writing them again.")
        elif not overwrite:
            raise OutputError(
                f"{output} contains a finished corpus that was made "
                + ("before its inputs were last modified" if edited else "with other options, inputs or vocabulary"),
                do="Choose another output directory, or replace the corpus with --overwrite",
            )
        # Marks it as an unfinished corpus: if this run is stopped, the next one knows what to remove.
        shards = [shard.name for shard in manifest.shards]
        job.work.begin({"key": "" if edited else manifest.key, "run": "", "shards": shards})
        files.remove(manifest_path)
        vocabulary = files.join(output, manifest.tokenizer.vocab_file)
        if overwrite and files.exists(vocabulary) and files.read(vocabulary) != job.vocabulary:
            files.remove(vocabulary)
    begun = job.work.begun()
    if begun is not None and begun.get("key") != job.key:
        if begun:
            _say(f"{output} contains an unfinished corpus with other options or inputs; starting over.")
        _remove_shards(output, begun.get("shards", job.shard_names()))
        job.work.clear()
    if not overwrite:
        _check_nothing_is_lost(job, begun=begun is not None)
    job.begin()
    return None


def _check_nothing_is_lost(job: CorpusJob, *, begun: bool) -> None:
    """Checks that no file would be replaced that this program did not make.

    If a corpus was begun, the shards are its own; the vocabulary is written with the manifest.
    """
    there = files.infos(job.config.output)
    vocabulary = job.tokenizer().describe().vocab_file
    in_the_way = [] if begun else sorted(there.keys() & {*job.shard_names(), INDEX_NAME})
    if vocabulary in there and files.read(there[vocabulary].path) != job.vocabulary:
        in_the_way.append(vocabulary)
    if in_the_way:
        raise OutputError(
            f"{job.config.output} is not a corpus, but contains files that the corpus would overwrite",
            received=", ".join(in_the_way[:3]) + f" and {len(in_the_way) - 3:,} more" * (len(in_the_way) > 3),
            do="Choose another output directory, or replace them with --overwrite",
        )


def _is_complete(manifest: Manifest, output: str) -> bool:
    """Returns whether all shards of the manifest exist with their sizes."""
    sizes = {info.path: info.bytes for info in files.match([output])}
    written = {shard.name: shard.bytes for shard in manifest.shards}
    if manifest.index:
        written[manifest.index.name] = manifest.index.bytes
    return all(sizes.get(files.join(output, name)) == size for name, size in written.items())


def _remove_shards(output: str, names: Iterable[str]) -> None:
    """Removes shards and their index, and their temporary files."""
    names = {*names, INDEX_NAME}
    for name in names.intersection(files.list_names(output)):
        files.remove(files.join(output, name))
    files.remove_temporary(output, names)


def _results(job: CorpusJob, plan: InputPlan) -> dict[int, BlockResult]:
    """Returns the results, by index, of finished blocks whose shards exist as they were written."""
    there = files.infos(job.config.output)
    found = {}
    for index, data in job.work.results([block.index for block in plan.blocks]).items():
        if data["inputs"] != job.inputs_of(plan.blocks[index]):
            continue
        # An index is as large as the shard's plan, and read again when it is wanted: thousands of shards have many.
        result = dataclasses.replace(BlockResult.from_json(data), indexes=())
        written = zip(result.shards, data["written"], strict=True)
        if all(_is_as_written(there.get(shard.name), shard, modified) for shard, modified in written):
            found[index] = result
    return found


def _is_as_written(found: FileInfo | None, shard: Shard, modified: str) -> bool:
    """Returns whether a shard is as its block wrote it: by its modification time, or else, which is slow, its hash."""
    if found is None or found.bytes != shard.bytes:
        return False
    return found.modified == modified != "" or files.sha256(found.path) == shard.sha256


def _finish(job: CorpusJob, plan: InputPlan, found: dict[int, BlockResult]) -> Manifest | None:
    """Writes the vocabulary and the manifest, and removes the work folder.

    Returns:
        The manifest; None if another job wrote to the shards in the meantime, and the manifest was removed.
    """
    blocks = {shard.name: index for index, result in found.items() for shard in result.shards}
    results = [found[block.index] for block in plan.blocks]
    try:
        manifest = describe_corpus(job, results, key=job.key, inputs=plan.describe(), inputs_modified=job.modified)
    except InputError:
        _remove_shards(job.config.output, blocks)
        job.work.clear()
        raise
    files.remove_temporary(job.config.output, blocks)
    indexes = (_index_of(job, blocks[shard.name], shard) for shard in manifest.shards)
    manifest = finish_corpus(manifest, job.vocabulary, indexes, job.config.output)
    if len(_results(job, plan)) < len(found):
        files.remove(files.join(job.config.output, MANIFEST_NAME))
        return None
    job.work.clear()
    if manifest.worth_a_look:
        _say(render(manifest.worth_a_look))
    return manifest


def _index_of(job: CorpusJob, block: int, shard: Shard) -> bytes:
    """Reads the index of a shard's chunks from the sidecar of its block."""
    return BlockResult.from_json(job.work.result(block)).index_of(shard)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
