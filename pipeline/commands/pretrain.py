"""`pretrain`: a corpus to a trained model."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_progress_flag
from pipeline.quiet import start_tensorflow


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Pre-train a model on a corpus, or go on with a run that was stopped."
    parser = add_command(commands, "pretrain", _run, summary)
    parser.add_argument("--corpus", required=True, metavar="DIR", help="directory of a finished corpus")
    parser.add_argument("--run", required=True, metavar="DIR", dest="run_dir", help="directory of the run")
    parser.add_argument("--config", metavar="YAML", help="file of options for model, data and training")
    parser.add_argument(
        "--params-override",
        nargs="+",
        default=[],
        metavar="A.B=C",
        help="single options that stand before the file's, such as trainer.train_steps=1000",
    )
    add_progress_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.config import apply_overrides, load_yaml
    from pipeline.training.configs import ExperimentConfig
    from pipeline.training.run import pretrain

    config = load_yaml(ExperimentConfig, arguments.config) if arguments.config else ExperimentConfig()
    config = apply_overrides(config, arguments.params_override)
    start_tensorflow()
    pretrain(config, arguments.corpus, arguments.run_dir, show_progress=not arguments.no_progress)
    return EXIT_OK
