"""`pretrain`: train a model on a corpus."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any, NamedTuple

from pipeline import files
from pipeline.commands.common import EXIT_OK, Commands, add_command, add_progress_flag, printed_messages
from pipeline.config.flags import add_override_flags
from pipeline.errors import ConfigError
from pipeline.manifest import Manifest
from pipeline.quiet import start_tensorflow
from pipeline.training.configs import ExperimentConfig
from pipeline.training.experiments import build_experiment, differing_corpus_options
from pipeline.training.published import EXPERIMENTS


class _ShortFlag(NamedTuple):
    """A flag that people look for in `--help`, and the option that it sets."""

    path: str
    type: type
    metavar: str
    help: str


_SHORT_FLAGS = {
    "--steps": _ShortFlag("trainer.train_steps", int, "N", "number of optimiser steps, 1,000,000 by default"),
    "--batch-size": _ShortFlag(
        "task.train_data.global_batch_size",
        int,
        "N",
        "examples per batch, 512 by default; a batch that does not fit in memory is computed in parts",
    ),
    "--learning-rate": _ShortFlag(
        "trainer.optimizer.learning_rate", float, "RATE", "peak learning rate, 1e-4 by default"
    ),
}


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Pre-train a model on a corpus, or continue a run that was stopped."
    parser = add_command(commands, "pretrain", _run, summary)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--corpus",
        action="append",
        metavar="DIR[:WEIGHT]",
        help="directory of a finished corpus. If given several times, the corpora are mixed. A weight is the share of"
        " tokens that is read from the corpus: --corpus out/general:0.8 --corpus out/domain:0.2. Without weights,"
        " each corpus is read in proportion to its number of tokens",
    )
    parser.add_argument(
        "--until",
        action=_EndStage,
        dest="stages",
        metavar="END",
        help="ends a training stage: the corpora given before this flag are read until then, and those given after it"
        " from then on. The end is '90%%' of the steps, '2e9 tokens' or '1000 steps', counted from the start of the"
        " run: --corpus out/s128 --until 90%% --corpus out/s512; see docs/training.md",
    )
    data.add_argument(
        "--input",
        nargs="+",
        metavar="RECORDS",
        help="TFRecords of google-research/bert, ALBERT or tensorflow/models to train on instead of a corpus: files,"
        " directories or globs. Their lengths are detected, and every record is checked",
    )
    parser.add_argument(
        "--validation-input", nargs="+", default=[], metavar="RECORDS", help="TFRecords of the same kind to evaluate on"
    )
    parser.add_argument("--vocab", metavar="FILE", help="vocabulary that the records of --input were made with")
    parser.add_argument(
        "--lower-case",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="with --vocab: whether text was lower-cased; the default is chosen as by corpus --lower-case",
    )
    parser.add_argument("--run", required=True, metavar="DIR", dest="run_dir", help="directory of the run")
    known = "; ".join(f"{name}: {experiment.description}" for name, experiment in EXPERIMENTS.items())
    parser.add_argument(
        "--experiment",
        choices=tuple(EXPERIMENTS),
        help=f"published configuration to start from, adapted to the corpus. {known}",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="YAML",
        help="YAML file of options for model, data and training; it overrides the experiment; if there are several"
        " files, later ones override earlier ones",
    )
    parser.add_argument(
        "--params-override",
        nargs="+",
        action="extend",
        default=[],
        metavar="A.B=C",
        help="single options, such as trainer.train_steps=1000, which override the files; each option of"
        " docs/options.md is also a flag: --trainer.train-steps 1000",
    )
    add_override_flags(parser, ExperimentConfig, dest="params_override")
    for flag, short in _SHORT_FLAGS.items():
        parser.add_argument(flag, type=short.type, metavar=short.metavar, help=f"{short.help}; alias of {short.path}")
    parser.add_argument(
        "--init-from",
        metavar="PATH",
        help="model to start from: a run, a Hugging Face folder, a TensorFlow checkpoint of google-research/bert or"
        " tensorflow/models, or a model of the Hugging Face hub (owner/name or owner/name@revision); it determines the"
        " architecture and the sizes of the model. Unless they are set, the learning rate, the warm-up, the steps and"
        " the batch size are chosen to suit it",
    )
    parser.add_argument(
        "--decay-from",
        metavar="RUN",
        help="run whose learning rate to decay, from its newest checkpoint (or RUN/checkpoints/step-N), over"
        " trainer.optimizer.decay_steps further steps. This is a new run with the weights, the optimiser state, the"
        " position in the data and the configuration of RUN; RUN itself can still continue. --corpus can be omitted",
    )
    parser.add_argument(
        "--more-steps",
        type=int,
        metavar="N",
        help="trains the finished run in --run for N more steps, from its weights, its optimiser state and its"
        " position in the data; the learning rate schedule, warm-up and decay, is repeated over these steps. --corpus"
        " can be omitted, and trainer.optimizer.* changes the schedule",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        help="wall time of the whole command, such as 90s, 30m, 2h or 1h30m: the speed is measured, the number of"
        " steps is chosen accordingly, and the decay of the learning rate is complete when the time is over. Without"
        " --experiment, --config and --init-from, the budget also determines the model and the recipe",
    )
    add_progress_flag(parser)


class _EndStage(argparse.Action):
    """Lets the corpora that are named behind the flag be those of another stage."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        if not namespace.corpus:
            parser.error("--until must come after the --corpus that is read until then")
        namespace.stages = [*(namespace.stages or []), (namespace.corpus, values)]
        namespace.corpus = None


def _run(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    from pipeline.beam.corpus.foreign import describe_records
    from pipeline.training.decaying import corpora_to_decay_on
    from pipeline.training.lengthening import corpora_to_go_on_with
    from pipeline.training.run import pretrain
    from pipeline.training.run_folder import RECORDS

    _check(arguments)
    start_tensorflow()
    with printed_messages():
        if arguments.decay_from and not arguments.corpus:
            arguments.corpus = corpora_to_decay_on(arguments.decay_from, arguments.run_dir)
        if arguments.more_steps is not None and not arguments.corpus:
            arguments.corpus = corpora_to_go_on_with(arguments.run_dir)
        if arguments.input:
            arguments.corpus = [files.join(arguments.run_dir, RECORDS)]
            describe_records(
                arguments.input,
                arguments.validation_input,
                arguments.vocab,
                arguments.corpus[0],
                lower_case=arguments.lower_case,
                show_progress=not arguments.no_progress,
            )
        config = read_config(arguments)
        pretrain(
            config,
            arguments.corpus,
            arguments.run_dir,
            show_progress=not arguments.no_progress,
            given=_given(arguments),
            started=started,
        )
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    """Checks that the arguments go together.

    Raises:
        ConfigError: naming those that do not.
    """
    if arguments.more_steps is not None and arguments.decay_from:
        raise ConfigError(
            "--decay-from and --more-steps cannot be used together",
            do="Omit one of them: --decay-from starts a new run, --more-steps continues a finished one",
        )
    if arguments.decay_from or arguments.more_steps is not None:
        named = {
            "--budget": "budget",
            "--input": "input",
            "--experiment": "experiment",
            "--init-from": "init_from",
            "--until": "stages",
        }
        other = "--decay-from" if arguments.decay_from else "--more-steps"
        for flag, name in named.items():
            if getattr(arguments, name):
                raise ConfigError(f"{flag} cannot be used with {other}", do="Omit it: the earlier run determines it")
    elif arguments.stages and not arguments.corpus:
        raise ConfigError(
            "--until must be followed by the --corpus that is read from then on", received=arguments.stages[-1][1]
        )
    elif not (arguments.corpus or arguments.input):
        raise ConfigError(
            "pretrain needs examples to train on", do="Specify a corpus with --corpus, or records with --input"
        )
    if arguments.input and not arguments.vocab:
        raise ConfigError("--input needs the vocabulary that the records were made with", do="Specify it with --vocab")
    if arguments.corpus:
        for name in ("validation_input", "vocab", "lower_case"):
            if getattr(arguments, name) not in (None, []):
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"{flag} can only be used with --input",
                    received="--corpus",
                    do="Omit it: a corpus has its own vocabulary and validation examples",
                )
    if arguments.budget is not None:
        arguments.params_override = [*arguments.params_override, f"trainer.budget={json.dumps(arguments.budget)}"]
    if arguments.stages:
        arguments.stages = [*arguments.stages, (arguments.corpus, None)]
        arguments.corpus = arguments.stages[0][0]


def read_config(arguments: argparse.Namespace) -> ExperimentConfig:
    """Builds the configuration from the experiment, the initial model, the files and single options.

    Of these four, later ones override earlier ones. A run that decays from another one has that one's configuration.

    Raises:
        ConfigError: if an option has an invalid value.
    """
    from pipeline.config.tree import apply_overrides, from_dict, read_all_yaml, replace_values
    from pipeline.training.budget import parse_budget
    from pipeline.training.budget_recipes import recipe_for
    from pipeline.training.budgeted import recipe_config
    from pipeline.training.corpora import open_corpora
    from pipeline.training.run_folder import RunFolder

    _take_short_flags(arguments)
    values = read_all_yaml(arguments.config)
    if arguments.decay_from:
        from pipeline.training.decaying import decay_config

        return decay_config(arguments.decay_from, arguments.run_dir, values, arguments.params_override)
    if arguments.more_steps is not None:
        from pipeline.training.lengthening import longer_config

        return longer_config(arguments.run_dir, arguments.more_steps, values, arguments.params_override)
    if arguments.init_from:
        from pipeline.training.exchange.start import fill_in_model

        values = fill_in_model(values, arguments.init_from, arguments.run_dir, arguments.params_override)
        if not (arguments.experiment or arguments.stages):
            values = _fill_in_recipe(values, arguments)
    budget = str(_given(arguments).get("trainer.budget") or "")
    chosen = budget and not (arguments.experiment or arguments.config or arguments.init_from)
    if not (arguments.experiment or chosen):
        return _with_stages(apply_overrides(from_dict(ExperimentConfig, values), arguments.params_override), arguments)
    manifest = open_corpora(arguments.corpus).manifest
    for difference in differing_corpus_options(arguments.experiment, manifest) if arguments.experiment else ():
        print(f"note: {difference}")
    if chosen and not files.exists(RunFolder(arguments.run_dir).config):
        recipe = recipe_for(parse_budget(budget)).description
        print(f"recipe: {recipe} (chosen for this budget; --experiment or --config overrides it)")

    def build(*manifests: Manifest) -> ExperimentConfig:
        if chosen:
            config = recipe_config(budget, RunFolder(arguments.run_dir), *manifests)
        else:
            config = replace_values(build_experiment(arguments.experiment, *manifests), values)
        return _with_stages(apply_overrides(config, arguments.params_override), arguments)

    config = build(manifest)
    corpora = open_corpora(arguments.corpus, config.task.train_data.stages)
    return build(*(stage.manifest for stage in corpora.stages)) if corpora.later else config


def _fill_in_recipe(values: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Fills in how to continue a model where the user leaves it open, and says so."""
    from pipeline.training.continuing import fill_in_recipe
    from pipeline.training.corpora import open_corpora
    from pipeline.training.run_folder import RunFolder

    given = _given(arguments)
    if any(path.startswith("task.train_data.stages") for path in given):
        return values
    folder = RunFolder(arguments.run_dir)
    held = folder.held_config() if files.exists(folder.config) else None
    values, chosen = fill_in_recipe(values, given, open_corpora(arguments.corpus), held)
    if chosen:
        print(chosen)
    return values


def _take_short_flags(arguments: argparse.Namespace) -> None:
    """Makes overrides of the short flags.

    Raises:
        ConfigError: if an option is also given by its own name, with another value.
    """
    for flag, short in _SHORT_FLAGS.items():
        value = getattr(arguments, flag.strip("-").replace("-", "_"), None)
        if value is None:
            continue
        for override in arguments.params_override:
            path, _, text = override.partition("=")
            if path.strip() == short.path and not _is_number(text, value):
                raise ConfigError(
                    f"{flag} and {short.path} are the same option",
                    received=f"{value} and {text}",
                    do="Use only one of them",
                )
        arguments.params_override = [*arguments.params_override, f"{short.path}={value!r}"]


def _is_number(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that the user has set, in files and one by one, by their paths."""
    from pipeline.config.tree import merged, parse_overrides, read_all_yaml
    from pipeline.training.config_differences import flatten

    return flatten(merged(read_all_yaml(arguments.config), parse_overrides(arguments.params_override)))


def _with_stages(config: ExperimentConfig, arguments: argparse.Namespace) -> ExperimentConfig:
    """Adds the stages that `--until` made."""
    from pipeline.training.corpora import open_corpora
    from pipeline.training.stages import StageConfig

    if not arguments.stages:
        return config
    if config.task.train_data.stages:
        raise ConfigError(
            "Stages must be set by --until or by task.train_data.stages, not by both",
            received=f"{len(arguments.stages)} by --until, {len(config.task.train_data.stages)} by the option",
        )
    stages = []
    for number, (named, until) in enumerate(arguments.stages):
        corpora = open_corpora(named)
        own: dict[str, Any] = {"input_path": corpora.input_path, "weights": corpora.weights} if number else {}
        stages.append(StageConfig(until=until, **own))
    data = dataclasses.replace(config.task.train_data, stages=tuple(stages))
    return dataclasses.replace(config, task=dataclasses.replace(config.task, train_data=data))
