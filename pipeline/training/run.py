"""A whole pre-training, from a corpus and a configuration to a trained model."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from pipeline.errors import ConfigError, CorpusError
from pipeline.manifest import Manifest, read_manifest
from pipeline.training.configs import ExperimentConfig
from pipeline.training.exchange.start import check_start, read_source
from pipeline.training.report import format_results
from pipeline.training.run_folder import RunFolder

_BASELINE_BATCH = 1024  # Examples parsed at a time to count what is predicted.


def pretrain(config: ExperimentConfig, corpus_dir: str, run_dir: str, *, show_progress: bool = True) -> dict[str, Any]:
    """Pre-trains, goes on with a run that was stopped, or shows what a finished one reached.

    Prints the final table.

    Args:
        config: model, data and training.
        corpus_dir: directory of a finished corpus, which tells shapes and vocabulary.
        run_dir: the run's folder.
        show_progress: whether to draw a progress bar.

    Returns:
        What `results.json` holds.

    Raises:
        ConfigError: if the configuration contradicts itself.
        CorpusError: if the corpus is unfinished or damaged, or does not fit the configuration.
        OutputError: if the run's folder cannot be written, or holds another run.
    """
    manifest = read_manifest(corpus_dir)
    if config.task.init_checkpoint:
        check_start(config.task.model, manifest.tokenizer, read_source(config.task.init_checkpoint), corpus_dir)
    config = resolve(config, manifest, corpus_dir)
    folder = RunFolder(run_dir)
    folder.open(config, manifest, corpus_dir)
    results = folder.results()
    if results is not None:
        print(f"{run_dir}: finished already; another directory starts another run")
    else:
        results = _run(config, manifest, corpus_dir, folder, show_progress=show_progress)
        folder.write_results(results)
    print(format_results(results))
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
    if spec.max_seq_length > encoder.max_position_embeddings:
        raise CorpusError(
            f"The model's max_position_embeddings must be at least the corpus's {spec.max_seq_length} tokens",
            received=encoder.max_position_embeddings,
            do="Raise model.encoder.max_position_embeddings, or make a corpus of shorter examples",
        )
    if spec.next_sentence and encoder.type_vocab_size < 2:
        raise CorpusError(
            "A corpus of sentence pairs needs a model's type_vocab_size of at least 2",
            received=encoder.type_vocab_size,
        )
    if model.has_head("next_sentence") and not spec.next_sentence:
        raise CorpusError(
            "The model has a next_sentence head, but the corpus has no next-sentence labels",
            do="Take the head out of model.cls_heads, or make a corpus of sentence pairs",
        )
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
        data[name] = dataclasses.replace(section, input_path=corpus_dir, seed=seed, masking_schedule_steps=steps)
    task = dataclasses.replace(config.task, model=dataclasses.replace(model, encoder=encoder), **data)
    return dataclasses.replace(config, task=task)


def _run(
    config: ExperimentConfig,
    manifest: Manifest,
    corpus_dir: str,
    folder: RunFolder,
    *,
    show_progress: bool,
) -> dict[str, Any]:
    """Trains and evaluates; returns the results."""
    import keras

    from pipeline.tokenizers import load_tokenizer
    from pipeline.training.baseline import unigram_cross_entropy
    from pipeline.training.data_loader import read_in_order
    from pipeline.training.evaluation import build_evaluator
    from pipeline.training.masked_lm import MaskedLMTask
    from pipeline.training.optimization import build_optimizer
    from pipeline.training.predict import fill_masks
    from pipeline.training.record_source import open_source
    from pipeline.training.train_loop import train
    from pipeline.training.training_state import TrainingState

    # Keras draws the seeds of initialisers and dropout from its process-wide generators.
    keras.utils.set_random_seed(config.trainer.seed)
    task = MaskedLMTask(config.task)
    model = task.build_model()
    task.initialize(model)
    optimizer = build_optimizer(config.trainer.optimizer, config.trainer.train_steps, model.trainable_variables)
    metrics = [keras.metrics.Mean(name="loss"), *task.build_metrics(training=True)]
    state = TrainingState(folder.checkpoints, model, optimizer, metrics, max_to_keep=config.trainer.max_to_keep)
    step = state.restore()
    folder.rewind_log(step)
    if step:
        print(f"{folder.path}: going on from step {step:,}")

    has_validation = bool(sum(shard.examples for shard in manifest.split("validation")))
    validate = None
    if has_validation:
        validate = build_evaluator(task, model, task.build_inputs(config.task.validation_data))
    start_example = step * config.task.train_data.global_batch_size
    train(
        task,
        model,
        optimizer,
        config.trainer,
        state,
        metrics,
        iter(task.build_inputs(config.task.train_data, start_example=start_example)),
        validate,
        folder,
        show_progress=show_progress,
    )
    state.restore_best()
    _save_model(model, folder.model)

    log = folder.read_log()
    validation = [row for row in log if row["split"] == "validation" and row["step"] == int(state.best_step)]
    tokenizer = load_tokenizer(manifest.tokenizer, corpus_dir)
    baseline = None
    if has_validation:
        train_batches, validation_batches = (
            read_in_order(open_source(data), dataclasses.replace(data, global_batch_size=_BASELINE_BATCH, trim=False))
            for data in (config.task.train_data, config.task.validation_data)
        )
        baseline = unigram_cross_entropy(train_batches, validation_batches, tokenizer.vocab_size)
    example = config.trainer.example
    guesses = fill_masks(model, tokenizer, [example])[0]
    return {
        "train": [row for row in log if row["split"] == "train"][-1],
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


def _save_model(model: Any, path: str) -> None:
    """Saves a model so that it is there complete or not at all."""
    temporary = path.replace(".keras", ".tmp.keras")  # Keras insists on the ending.
    model.save(temporary)
    os.replace(temporary, path)
