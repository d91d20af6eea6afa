"""A whole pre-training, from a corpus and a configuration to a trained model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline import files
from pipeline.errors import ConfigError, CorpusError, OutputError, UserError
from pipeline.manifest import Manifest, read_manifest
from pipeline.tokenizers import Tokenizer, load_tokenizer
from pipeline.training.configs import ExperimentConfig
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.start import check_start, read_source, start_from
from pipeline.training.report import format_results
from pipeline.training.run_folder import RunFolder
from pipeline.training.start_checks import check_example, check_inputs, check_space, export_notes

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")
_BASELINE_BATCH = 1024  # Examples parsed at a time to count what is predicted.


def pretrain(config: ExperimentConfig, corpus_dir: str, run_dir: str, *, show_progress: bool = True) -> dict[str, Any]:
    """Pre-trains, continues a run that was stopped, or shows the results of a finished one.

    Prints the final table.

    Args:
        config: model, data and training.
        corpus_dir: directory of a finished corpus, which gives the shapes and the vocabulary.
        run_dir: the run's folder.
        show_progress: whether to draw a progress bar.

    Returns:
        What `results.json` holds; nothing if SIGTERM stopped it, the run being saved, and nothing to
        any but the first process of a cluster.

    Raises:
        ConfigError: if the configuration contradicts itself, or asks for devices that are not there.
        CorpusError: if the corpus is unfinished or damaged, or does not fit the configuration.
        OutputError: if the run's folder cannot be written, holds another run, or another process is at work there.
        TrainingError: if the loss is NaN or infinite, or a machine of a cluster is lost.
        KeyboardInterrupt: if SIGINT stopped it, the run being saved.
    """
    manifest = read_manifest(corpus_dir)
    folder = RunFolder(run_dir)
    source: SourceModel | None = None
    # With a checkpoint, a run no longer needs what it started from: that may have moved.
    if config.task.init_checkpoint and not folder.has_checkpoint():
        source = read_source(config.task.init_checkpoint)
        check_start(config.task.model, manifest.tokenizer, source, corpus_dir)
    config = resolve(config, manifest, corpus_dir)
    from pipeline.training.distribution import build_strategy, is_chief

    strategy = build_strategy(config.runtime)
    tokenizer = load_tokenizer(manifest.tokenizer, corpus_dir)
    writes = config.runtime.distribution_strategy != "multi_worker_mirrored" or is_chief()
    results = folder.results(config.trainer.train_steps)
    if results is None:
        check_inputs(config, manifest, strategy.num_replicas_in_sync)
        if not files.exists(folder.config):  # It cannot be put right in a run that has begun.
            check_example(config, tokenizer)
    with folder.locked() if writes else contextlib.nullcontext():
        if writes:
            folder.open(config, manifest, corpus_dir)
        if results is not None:
            logger.info(f"{run_dir}: finished already; another directory starts another run")
        else:
            results = _run(
                config, manifest, tokenizer, folder, strategy, source, show_progress=show_progress, writes=writes
            )
            if not results:
                return {}
            folder.write_results(results)
    logger.info(format_results(results))
    return results


def resolve(config: ExperimentConfig, manifest: Manifest, corpus_dir: str) -> ExperimentConfig:
    """Fills in what the configuration leaves to the corpus and the run, and checks the rest.

    Raises:
        CorpusError: if the corpus does not fit the configuration.
    """
    model, trainer = config.task.model, config.trainer
    encoder, spec = model.encoder, manifest.spec
    vocab_size = manifest.tokenizer.vocab_size
    if encoder.vocab_size not in (None, vocab_size):
        raise CorpusError(
            f"The model's vocab_size must be the corpus's, {vocab_size:,}",
            received=encoder.vocab_size,
            do="Set model.encoder.vocab_size to null: it is then taken from the corpus",
        )
    if encoder.max_position_embeddings is not None and spec.max_seq_length > encoder.max_position_embeddings:
        raise CorpusError(
            f"The model's max_position_embeddings must be at least the corpus's {spec.max_seq_length} tokens",
            received=encoder.max_position_embeddings,
            do="Raise model.encoder.max_position_embeddings, or make a corpus of shorter examples",
        )
    if spec.next_sentence and encoder.type_vocab_size is not None and encoder.type_vocab_size < 2:
        raise CorpusError(
            "A corpus of sentence pairs needs a model's type_vocab_size of at least 2",
            received=encoder.type_vocab_size,
        )
    reads_labels = config.task.train_data.use_next_sentence_label is not False
    if model.has_head("next_sentence") and reads_labels and not spec.next_sentence:
        raise CorpusError(
            "The model has a next_sentence head, but the corpus has no next-sentence labels",
            do="Take the head out of model.cls_heads, or make a corpus of sentence pairs",
        )
    heads = model.cls_heads
    if not reads_labels:
        heads = tuple(head for head in heads if head.name != "next_sentence")  # Nothing would train it.
    heads = tuple(dataclasses.replace(head, inner_dim=model.pooler_width(head)) for head in heads)
    encoder = dataclasses.replace(encoder, vocab_size=vocab_size)
    data = {}
    for name in ("train_data", "validation_data"):
        section = getattr(config.task, name)
        if section.input_path not in ("", corpus_dir):
            raise ConfigError(
                f"{name}.input_path must be left empty: the corpus's directory is an argument of its own",
                received=repr(section.input_path),
            )
        seed = trainer.seed if section.seed is None else section.seed
        steps = section.masking_schedule_steps or trainer.train_steps
        trim = section.trim and not config.runtime.needs_static_shapes
        data[name] = dataclasses.replace(
            section, input_path=corpus_dir, seed=seed, masking_schedule_steps=steps, trim=trim
        )
    task = dataclasses.replace(config.task, model=dataclasses.replace(model, encoder=encoder, cls_heads=heads), **data)
    return dataclasses.replace(config, task=task)


def _run(
    config: ExperimentConfig,
    manifest: Manifest,
    tokenizer: Tokenizer,
    folder: RunFolder,
    strategy: Any,
    source: SourceModel | None,
    *,
    show_progress: bool,
    writes: bool,
) -> dict[str, Any]:
    """Trains and evaluates; returns the results, or nothing if it was stopped, or if another process has them."""
    import pipeline.training.masked_lm  # noqa: F401 It registers its task.
    from pipeline.training import task_factory
    from pipeline.training.evaluation.predict import Guess, fill_masks
    from pipeline.training.loop.trainer import train_experiment

    has_validation = bool(sum(shard.examples for shard in manifest.split("validation")))
    baseline: float | None = None

    def prepare(model: Any) -> None:
        nonlocal baseline
        if writes:
            vocabulary = files.read(files.join(folder.path, manifest.tokenizer.vocab_file))
            for note in export_notes(config.task.model, tokenizer, vocabulary):
                logger.warning(f"note: {note}")
            check_space(folder, config.trainer, model)
            # Before the training: it reads every validation example, and what it meets can still be put right.
            baseline = _baseline(config, tokenizer) if has_validation else None

    outcome = train_experiment(
        config,
        task_factory.get_task(config.task),
        folder,
        strategy,
        validates=has_validation,
        mask_id=tokenizer.special_ids["mask"],
        initialize=functools.partial(_start, source=source),
        before_first_step=prepare,
        show_progress=show_progress,
        writes=writes,
    )
    state, model = outcome.state, outcome.model
    if outcome.stopped:
        if writes:
            logger.info(
                f"{folder.path}: stopped and saved at step {int(state.step):,}; the same command continues from there"
            )
        if outcome.stopped.signal == signal.SIGINT:
            raise KeyboardInterrupt
    if outcome.stopped or not writes:
        return {}
    _save_model(model, folder.model)

    # From here on nothing may fail: whatever becomes of the rest, a run that has trained ends with its table.
    if baseline is None and has_validation:
        baseline = _or_note(lambda: _baseline(config, tokenizer), None)
    example = config.trainer.example
    unfilled: list[list[Guess]] = []
    guesses = _or_note(lambda: fill_masks(model, tokenizer, [example])[0], unfilled)
    log = folder.read_log()
    training = [row for row in log if row["split"] == "train"]
    validation = [row for row in log if row["split"] == "validation" and row["step"] == int(state.best_step)]
    return {
        "train": training[-1] if training else None,
        "validation": validation[-1] if validation else None,
        "unigram_cross_entropy": baseline,
        "steps": int(state.step),
        "model_step": int(state.best_step) if validation else int(state.step),
        "tokens": int(state.tokens),
        "tokens_per_second": state.tokens_per_second(),
        "parameters": model.count_params(),
        "example": {
            "text": example,
            "guesses": [[[guess.token, guess.probability] for guess in mask] for mask in guesses],
        },
    }


def _start(model: Any, *, source: SourceModel | None) -> None:
    """Sets the weights that a run starts with, where they are not random."""
    if source is not None:
        logger.info(start_from(model, source))
        source.forget()


def _baseline(config: ExperimentConfig, tokenizer: Tokenizer) -> float:
    from pipeline.training.data.loader import read_in_order
    from pipeline.training.data.source import open_source
    from pipeline.training.evaluation.baseline import unigram_cross_entropy

    train, validation = (
        read_in_order(open_source(data), dataclasses.replace(data, global_batch_size=_BASELINE_BATCH, trim=False))
        for data in (config.task.train_data, config.task.validation_data)
    )
    return unigram_cross_entropy(train, validation, tokenizer.vocab_size)


def _or_note(compute: Callable[[], ValueT], otherwise: ValueT) -> ValueT:
    """What `compute` gives, or `otherwise` and a note where the user's files do not allow it."""
    try:
        return compute()
    except UserError as error:
        logger.warning(f"note: {error}")
        return otherwise


def _save_model(model: Any, path: str) -> None:
    """Saves a model so that it is there complete or not at all."""
    temporary = path.removesuffix(".keras") + ".tmp.keras"  # Keras insists on the ending.
    try:
        model.save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise OutputError(
            f"Cannot write {path}",
            received=error.strerror or str(error),
            do="All its steps are made and saved. Check the space and the permissions, then run again",
        ) from error
