"""A whole pre-training, from a corpus and a configuration to a trained model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from pipeline import files
from pipeline.errors import ConfigError, CorpusError, OutputError, UserError
from pipeline.hub import is_hub_name
from pipeline.tokenizers import Tokenizer, load_tokenizer
from pipeline.training.budgeted import as_decided, check_budget, decide, measure
from pipeline.training.configs import DataConfig, ExperimentConfig, MaskedLMConfig
from pipeline.training.corpora import Corpora, open_corpora
from pipeline.training.decaying import check_decay
from pipeline.training.exchange.positions import describe_rotary
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.start import check_start, read_source, start_from
from pipeline.training.exchange.vocabulary_rows import VocabularyRows
from pipeline.training.lengthening import check_lengthening, describe_lengthening
from pipeline.training.memory import Fit, available_memory, evaluation_batch, fit
from pipeline.training.plan import format_plan
from pipeline.training.report import Measures, format_results
from pipeline.training.run_folder import RunFolder
from pipeline.training.stages import PlannedStage, describe_plan, format_stages, plan_stages
from pipeline.training.start_checks import check_example, check_inputs, check_space, export_notes

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")
BEFORE = "before"  # The split of the log's row of what was measured before the first step.
_BASELINE_BATCH = 1024  # Examples parsed at a time to count what is predicted.


def pretrain(
    config: ExperimentConfig,
    corpus_dir: str | Sequence[str],
    run_dir: str,
    *,
    show_progress: bool = True,
    given: Collection[str] = (),
    started: float | None = None,
) -> dict[str, Any]:
    """Pre-trains, continues a run that was stopped, or shows the results of a finished one.

    Prints the final table.

    Args:
        config: model, data and training.
        corpus_dir: directory of a finished corpus, which gives the shapes and the vocabulary; or several, which are
            mixed, with the share of tokens of each: `["out/general:0.8", "out/domain:0.2"]`. Stages of
            `config.task.train_data` may name further ones.
        run_dir: the run's folder.
        show_progress: whether to draw a progress bar, where standard error is a terminal; without one, each summary is
            a log message.
        given: with `trainer.budget`, options that it must not decide because the user has, such as
            `trainer.validation_interval`.
        started: when the time of the budget began, by `time.monotonic`; by default, now.

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
    started = time.monotonic() if started is None else started
    corpora = open_corpora(corpus_dir, config.task.train_data.stages)
    manifest = corpora.manifest
    folder = RunFolder(run_dir)
    begun = files.exists(folder.config)
    if config.trainer.budget:
        check_budget(config, given)
        config = as_decided(config, folder.held_config(), given) if begun else config
    source: SourceModel | None = None
    rows: VocabularyRows | None = None
    start = folder.start_as_held(config.task.init_checkpoint)
    # With a checkpoint, a run no longer needs what it started from: that may have moved.
    if start and not folder.checkpoint_steps():
        source = read_source(start)
        start = source.path if is_hub_name(start) else start
        rows = check_start(config.task.model, manifest.tokenizer, source, corpora.directory)
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, init_checkpoint=start))
    open_config = config
    from pipeline.training.distribution import build_strategy, is_chief

    strategy = build_strategy(config.runtime)
    writes, replicas = True, strategy.num_replicas_in_sync
    available = available_memory(replicas)
    if config.runtime.distribution_strategy == "multi_worker_mirrored":
        # Machines may have different memories, and must agree: a batch is divided only where it is asked for.
        writes, available = is_chief(), None
    held = folder.held_config().trainer.accumulation_steps if begun else None
    fitted = fit(config, corpora, replicas=replicas, available=available, held=held)
    config = resolve(config, corpora, parts=fitted.parts)
    if config.trainer.decay_from and not folder.checkpoint_steps():
        check_decay(config, corpora)
    if config.trainer.early_stopping is not None and not corpora.has_validation():
        raise ConfigError(
            "trainer.early_stopping needs validation examples to evaluate on",
            received="a corpus without any",
            do="Make the corpus with --validation-fraction, or leave trainer.early_stopping out",
        )
    tokenizer = load_tokenizer(manifest.tokenizer, corpora.directory)
    results = folder.results(config.trainer.train_steps)
    if results is None:
        if config.trainer.restart_step is not None:
            check_lengthening(folder)
        check_inputs(config, corpora, replicas)
        if not begun:  # It cannot be put right in a run that has begun.
            check_example(config, tokenizer)
    with folder.locked() if writes else contextlib.nullcontext():
        baseline: float | None = None
        if config.trainer.budget and not begun:
            # Its time counts, and does not depend on what is decided.
            baseline = _baseline(config, tokenizer) if corpora.has_validation() else None
            pace = measure(
                config,
                plan_of(open_config, corpora),
                corpora,
                folder,
                strategy,
                validation=_validation(config, corpora, fitted, replicas),
                mask_id=tokenizer.special_ids["mask"],
            )
            open_config = decide(open_config, given, pace, time.monotonic() - started)
            config = resolve(open_config, corpora, parts=fitted.parts)
        plan = describe_plan(
            plan_of(open_config, corpora), dict(zip(corpora.all_directories, corpora.names, strict=True))
        )
        held_out = _validation(config, corpora, fitted, replicas)
        if writes:
            folder.open(config, corpora, source.architecture if source is not None else None)
        if results is not None:
            logger.info(
                f"{run_dir}: already finished; --more-steps N trains it for N more steps, and another directory starts"
                " a new run"
            )
        else:
            if plan and writes:
                logger.info(format_stages(plan))
            if config.trainer.restart_step is not None and writes:
                logger.info(f"{run_dir}: {describe_lengthening(config.trainer)}")
            results = _run(
                config,
                corpora,
                tokenizer,
                folder,
                strategy,
                functools.partial(_start, task=config.task, source=source, rows=rows),
                fitted,
                held_out,
                baseline,
                show_progress=show_progress,
                writes=writes,
            )
            if not results:
                return {}
            results |= {"stages": plan} if plan else {}
            folder.write_results(results)
    logger.info(format_results(results))
    return results


def resolve(config: ExperimentConfig, corpora: Corpora, *, parts: int = 1) -> ExperimentConfig:
    """Fills in what the configuration leaves to the corpus, the run and the machine, and checks the rest.

    Args:
        config: the experiment.
        corpora: what it is trained on.
        parts: in which a batch is computed where the configuration leaves that open.

    Raises:
        CorpusError: if the corpus does not fit the configuration.
    """
    model, trainer, manifest = config.task.model, config.trainer, corpora.manifest
    encoder, spec = model.encoder, manifest.spec
    vocab_size = manifest.tokenizer.vocab_size
    if encoder.vocab_size not in (None, vocab_size):
        raise CorpusError(
            f"The model's vocab_size must be the corpus's, {vocab_size:,}",
            received=encoder.vocab_size,
            do="Set model.encoder.vocab_size to null: it is then taken from the corpus",
        )
    longest = max(stage.manifest.spec.max_seq_length for stage in corpora.stages)
    if encoder.max_position_embeddings is not None and longest > encoder.max_position_embeddings:
        raise CorpusError(
            f"The model's max_position_embeddings must be at least the corpus's {longest} tokens",
            received=encoder.max_position_embeddings,
            do="Raise model.encoder.max_position_embeddings, or make a corpus of shorter examples",
        )
    if spec.next_sentence and encoder.type_vocab_size is not None and encoder.type_vocab_size < 2:
        raise CorpusError(
            "A corpus of sentence pairs needs a model's type_vocab_size of at least 2",
            received=encoder.type_vocab_size,
            do="Make a corpus of single segments, with corpus --pairing full-sentences",
        )
    reads_labels = config.task.train_data.use_next_sentence_label is not False
    if model.has_head("next_sentence") and reads_labels and not spec.next_sentence:
        raise CorpusError(
            "The model has a next_sentence head, but the corpus has no next-sentence labels",
            do="Remove the head from model.cls_heads, or make a corpus of sentence pairs",
        )
    heads = model.cls_heads
    if not reads_labels:
        heads = tuple(head for head in heads if head.name != "next_sentence")  # Nothing would train it.
    heads = tuple(dataclasses.replace(head, inner_dim=model.pooler_width(head)) for head in heads)
    encoder = dataclasses.replace(encoder, vocab_size=vocab_size)
    data = {}
    for name, read in (("train_data", corpora), ("validation_data", corpora.stages[-1])):
        section = getattr(config.task, name)
        if section.input_path not in ("", read.input_path):
            raise ConfigError(
                f"{name}.input_path must be left empty: the corpus's directory is a separate argument",
                received=repr(section.input_path),
            )
        seed = trainer.seed if section.seed is None else section.seed
        steps = section.masking_schedule_steps or trainer.train_steps
        trim = section.trim and not config.runtime.needs_static_shapes
        data[name] = dataclasses.replace(
            section,
            input_path=read.input_path,
            weights=read.weights,
            stages=tuple(stage.config for stage in plan_of(config, corpora)) if section.stages else (),
            seed=seed,
            masking_schedule_steps=steps,
            trim=trim,
        )
    model = dataclasses.replace(model, encoder=encoder, cls_heads=heads).with_head()
    task = dataclasses.replace(config.task, model=model, **data)
    trainer = dataclasses.replace(trainer, accumulation_steps=trainer.accumulation_steps or parts)
    return dataclasses.replace(config, task=task, trainer=trainer)


def plan_of(config: ExperimentConfig, corpora: Corpora) -> list[PlannedStage]:
    """The stages of a run, with the paths of their corpora; empty where it has none.

    Raises:
        ConfigError: if a stage has no step.
    """
    data = config.task.train_data
    if not data.stages:
        return []
    stages = [
        dataclasses.replace(stage, input_path=of.input_path, weights=of.weights)
        for stage, of in zip(data.stages, corpora.stages, strict=True)
    ]
    return plan_stages(
        stages,
        batch_size=data.global_batch_size,
        mean_tokens=[of.mean_tokens for of in corpora.stages],
        train_steps=config.trainer.train_steps,
    )


def _run(
    config: ExperimentConfig,
    corpora: Corpora,
    tokenizer: Tokenizer,
    folder: RunFolder,
    strategy: Any,
    initialize: Callable[[Any], Collection[str]],
    fitted: Fit,
    held_out: Mapping[str, DataConfig],
    baseline: float | None,
    *,
    show_progress: bool,
    writes: bool,
) -> dict[str, Any]:
    """Trains and evaluates; returns the results, or nothing if it was stopped, or if another process has them."""
    import pipeline.training.masked_lm  # noqa: F401 It registers its task.
    from pipeline.training import task_factory
    from pipeline.training.evaluation.before_after import describe_measures, measure_model
    from pipeline.training.evaluation.predict import Guess, fill_masks, format_guesses
    from pipeline.training.loop.trainer import train_experiment

    has_validation = corpora.has_validation()
    # On a TPU, a model computes only in steps; and a budget has no time for it.
    compares = bool(config.task.init_checkpoint) and has_validation and not config.trainer.budget
    compares &= config.runtime.distribution_strategy != "tpu"
    held_out_batch = min((data.global_batch_size for data in held_out.values()), default=1)

    def measure_now(model: Any) -> Measures:
        return measure_model(model, config, tokenizer, corpora.stages[-1].directories, batch_size=held_out_batch)

    def prepare(model: Any, step: int) -> float | None:
        nonlocal baseline
        if writes:
            vocabulary = files.read(files.join(folder.path, corpora.manifest.tokenizer.vocab_file))
            for note in export_notes(config.task.model, tokenizer, vocabulary, folder.architecture()):
                logger.warning(f"note: {note}")
            check_space(folder, config.trainer, model)
            # Before the training: it reads every validation example, and what it meets can still be put right.
            if baseline is None and has_validation:
                baseline = _baseline(config, tokenizer)
            if (decay := config.trainer.optimizer.ema_decay) is not None:
                logger.info(
                    f"{folder.path}: evaluations and the final model use the average of the weights, with decay {decay}"
                )
            logger.info(format_plan(config, model, fitted, step=step, names=corpora.names))
            if too_small := fitted.note():
                logger.warning(f"note: {too_small}")
            if compares and not step:
                before = measure_now(model)
                folder.log({"step": 0, "split": BEFORE, "measures": before})
                logger.info(f"before the first step: {describe_measures(before)}")
        return baseline

    def fill_example(model: Any) -> str:
        # On a TPU, a model computes only in steps.
        if not writes or config.runtime.distribution_strategy == "tpu":
            return ""
        example = config.trainer.example
        with contextlib.suppress(UserError):  # Of a run that an earlier version began; a note at the end says why.
            return format_guesses(example, fill_masks(model, tokenizer, [example])[0])
        return ""

    outcome = train_experiment(
        config,
        task_factory.get_task(config.task),
        folder,
        strategy,
        names=corpora.names,
        validation=held_out,
        mask_id=tokenizer.special_ids["mask"],
        initialize=initialize,
        before_first_step=prepare,
        fill_example=fill_example,
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
    compared: dict[str, Any] = {}
    measured = [row["measures"] for row in log if row["split"] == BEFORE]
    if compares and measured and (after := _or_note(lambda: measure_now(model), None)) is not None:
        compared = {"before": measured[-1], "after": after}
    training = [row for row in log if row["split"] == "train"]
    validation = [row for row in log if row["split"] == "validation" and row["step"] == int(state.best_step)]
    planned, early = config.trainer.train_steps, {}
    if int(state.step) < planned:
        early = {"stopped_early": {"planned_steps": planned, "evaluations": config.trainer.early_stopping}}
        logger.info(
            f"{folder.path}: stopped early at step {int(state.step):,}: {config.trainer.early_stopping} evaluations"
            f" without a lower masked-LM loss than that of step {int(state.best_step):,}"
        )
    return {
        "train": training[-1] if training else None,
        "validation": validation[-1] if validation else None,
        "unigram_cross_entropy": baseline,
        "steps": int(state.step),
        **early,
        **compared,
        "model_step": int(state.best_step) if validation else int(state.step),
        "tokens": int(state.tokens),
        "tokens_per_second": state.tokens_per_second(),
        "parameters": model.count_params(),
        "example": {
            "text": example,
            "guesses": [[[guess.token, guess.probability] for guess in mask] for mask in guesses],
        },
    }


def _validation(config: ExperimentConfig, corpora: Corpora, fitted: Fit, replicas: int) -> dict[str, DataConfig]:
    """What to evaluate on, by the corpus's name, in batches that fit the memory."""
    held_out = config.task.validation_data
    if not held_out.drop_remainder:  # How examples are batched changes an evaluation only then.
        size = evaluation_batch(config, corpora, replicas=replicas, available=fitted.available)
        held_out = dataclasses.replace(held_out, global_batch_size=size)
    return corpora.validation(held_out)


def _start(
    model: Any, *, task: MaskedLMConfig, source: SourceModel | None, rows: VocabularyRows | None
) -> tuple[str, ...]:
    """Sets the weights that a run starts with, where they are not random; returns the paths of those that are."""
    if source is None:
        return ()
    started = start_from(model, source, rows, positions=task.init_positions)
    logger.info("; ".join(filter(None, [started.description, describe_rotary(task.model, source.config)])))
    source.forget()
    return started.lacked


def _baseline(config: ExperimentConfig, tokenizer: Tokenizer) -> float:
    from pipeline.training.data.loader import read_in_order
    from pipeline.training.data.source import open_sources
    from pipeline.training.evaluation.baseline import unigram_cross_entropy

    held_out = config.task.validation_data
    # Of a run in stages, what the last one reads: the corpora that it is evaluated on.
    read = dataclasses.replace(
        config.task.train_data, input_path=held_out.input_path, weights=held_out.weights, stages=()
    )
    train, validation = (
        read_in_order(open_sources(data), dataclasses.replace(data, global_batch_size=_BASELINE_BATCH, trim=False))
        for data in (read, held_out)
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
            do="All steps of the run are done and saved. Check the free space and the permissions, then run again",
        ) from error
