"""`export`: a trained model in other projects' formats."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_model_flag
from pipeline.quiet import start_tensorflow


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "export", _run, "Write a trained model in another project's format.")
    add_model_flag(parser)
    parser.add_argument(
        "--format",
        choices=("huggingface",),
        default="huggingface",
        help="huggingface: a folder for BertForPreTraining.from_pretrained and AutoTokenizer.from_pretrained",
    )
    parser.add_argument(
        "--verify-with",
        metavar="PYTHON",
        help="an interpreter that has transformers and torch: its logits too must agree with the model's before a"
        " Hugging Face folder is written (default: this one, if it has them)",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="directory to write, which is not there yet")


def _run(arguments: argparse.Namespace) -> int:
    start_tensorflow()
    from pipeline.training.exchange.hf_export import export_huggingface
    from pipeline.training.exchange.load import load_trained

    trained = load_trained(arguments.run_dir)
    for name, difference in export_huggingface(trained, arguments.output, python=arguments.verify_with).items():
        print(f"{arguments.output}: logits computed with {name} differ from the model's by {difference:.1e} at most")
    return EXIT_OK
