"""`pretrain`: train a model on a corpus."""

from __future__ import annotations

import argparse

from pipeline import files
from pipeline.commands.common import EXIT_OK, Commands, add_command, add_progress_flag, printed_messages
from pipeline.config.flags import add_override_flags
from pipeline.errors import ConfigError
from pipeline.quiet import start_tensorflow
from pipeline.training.configs import ExperimentConfig
from pipeline.training.experiments import EXPERIMENTS, build_experiment, differing_corpus_options


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Pre-train a model on a corpus, or continue a run that was stopped."
    parser = add_command(commands, "pretrain", _run, summary)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--corpus", metavar="DIR", help="directory of a finished corpus")
    data.add_argument(
        "--input",
        nargs="+",
        metavar="RECORDS",
        help="instead of a corpus, TFRecords of google-research/bert, ALBERT or tensorflow/models to train on: files,"
        " directories or globs. Their lengths are found out, and every record is checked",
    )
    parser.add_argument(
        "--validation-input", nargs="+", default=[], metavar="RECORDS", help="such TFRecords to evaluate on"
    )
    parser.add_argument("--vocab", metavar="FILE", help="vocabulary that made the records of --input")
    parser.add_argument(
        "--lower-case",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="with --vocab: whether text was lower-cased; by default, as with corpus --lower-case",
    )
    parser.add_argument("--run", required=True, metavar="DIR", dest="run_dir", help="directory of the run")
    known = "; ".join(f"{name}: {experiment.description}" for name, experiment in EXPERIMENTS.items())
    parser.add_argument(
        "--experiment",
        choices=tuple(EXPERIMENTS),
        help=f"published configuration to start from, fitted to the corpus. {known}",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="YAML",
        help="YAML file of options for model, data and training; it overrides the experiment, and further files"
        " override it, in their order",
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
    parser.add_argument(
        "--init-from",
        metavar="PATH",
        help="model to start from: a run, a Hugging Face folder, or a TensorFlow checkpoint of google-research/bert or"
        " tensorflow/models; it determines the shape of the model",
    )
    add_progress_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.beam.corpus.foreign import describe_records
    from pipeline.training.run import pretrain
    from pipeline.training.run_folder import RECORDS

    _check(arguments)
    start_tensorflow()
    with printed_messages():
        if arguments.input:
            arguments.corpus = files.join(arguments.run_dir, RECORDS)
            describe_records(
                arguments.input,
                arguments.validation_input,
                arguments.vocab,
                arguments.corpus,
                lower_case=arguments.lower_case,
                show_progress=not arguments.no_progress,
            )
        config = read_config(arguments)
        pretrain(config, arguments.corpus, arguments.run_dir, show_progress=not arguments.no_progress)
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    """Checks that the arguments go together.

    Raises:
        ConfigError: naming those that do not.
    """
    if arguments.input and not arguments.vocab:
        raise ConfigError("--input needs the vocabulary that made the records", do="Name it with --vocab")
    if arguments.corpus:
        for name in ("validation_input", "vocab", "lower_case"):
            if getattr(arguments, name) not in (None, []):
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} belongs to --input", received="--corpus", do="A corpus says it by itself")


def read_config(arguments: argparse.Namespace) -> ExperimentConfig:
    """Builds the configuration from the experiment, the initial model, the files and single options.

    Of these four, later ones override earlier ones.

    Raises:
        ConfigError: if an option has an invalid value.
    """
    from pipeline.config.tree import apply_overrides, from_dict, read_all_yaml, replace_values
    from pipeline.manifest import read_manifest

    values = read_all_yaml(arguments.config)
    if arguments.init_from:
        from pipeline.training.exchange.start import fill_in_model

        values = fill_in_model(values, arguments.init_from, arguments.run_dir)
    if arguments.experiment:
        manifest = read_manifest(arguments.corpus)
        for difference in differing_corpus_options(arguments.experiment, manifest):
            print(f"note: {difference}")
        config = replace_values(build_experiment(arguments.experiment, manifest), values)
    else:
        config = from_dict(ExperimentConfig, values)
    return apply_overrides(config, arguments.params_override)
