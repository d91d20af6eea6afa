"""`export`: a trained model in other projects' formats."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_model_flag
from pipeline.quiet import start_tensorflow
from pipeline.training.exchange.families.registry import FAMILIES

_PARAGRAPHS = 5000  # Of prose, half a megabyte and more.
_FORMATS = {
    "huggingface": "a folder for AutoModelForMaskedLM.from_pretrained and AutoTokenizer.from_pretrained",
    "saved-model": "a SavedModel to serve, which takes text or ids and needs nothing of this project",
    "encoder": "the encoder alone, to fine-tune, as .keras file and as SavedModel",
}


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "export", _run, "Write a trained model in another project's format.")
    add_model_flag(parser)
    parser.add_argument(
        "--format",
        choices=tuple(_FORMATS),
        default="huggingface",
        help="; ".join(f"{name}: {what}" for name, what in _FORMATS.items()) + " (default: huggingface)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="directory to create; it must not exist yet, or be empty"
    )
    parser.add_argument(
        "--architecture",
        choices=tuple(FAMILIES),
        help="what a Hugging Face folder names the model (default: what training started from, or else the encoder's"
        " type). A model of type bert can also be written as RoBERTa",
    )
    parser.add_argument(
        "--verify-with",
        metavar="PYTHON",
        help="an interpreter that has transformers and torch: its logits too must agree with the model's before a"
        " Hugging Face folder is written (default: this one, if it has them)",
    )
    parser.add_argument(
        "--text-signatures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a SavedModel has signatures that take text; to load it, a program then has to import"
        " tensorflow_text (default: yes, if the vocabulary is WordPiece or SentencePiece)",
    )
    parser.add_argument(
        "--top-k",
        type=int,
        default=5,
        metavar="K",
        help="tokens that a SavedModel's fill_mask gives for each [MASK] (default: 5)",
    )


def _run(arguments: argparse.Namespace) -> int:
    start_tensorflow()
    from pipeline.training.exchange import hf_export, tf_export
    from pipeline.training.exchange.load import load_trained

    trained, output = load_trained(arguments.run_dir), arguments.output
    if arguments.format == "huggingface":
        differences = hf_export.export_huggingface(
            trained, output, architecture=arguments.architecture, python=arguments.verify_with
        )
        for name, difference in differences.items():
            print(f"{output}: logits computed with {name} differ from the model's by {difference:.1e} at most")
        return EXIT_OK
    if arguments.format == "saved-model":
        reason = tf_export.export_saved_model(
            trained, output, text=arguments.text_signatures, top_k=arguments.top_k, prose=_prose()
        )
        if reason:
            print(f"{output}: without the signatures that take text, because {reason}")
    else:
        tf_export.export_encoder(trained, output)
    print(f"{output}: written, loaded again and compared")
    return EXIT_OK


def _prose() -> Iterator[str]:
    """Paragraphs of Python's own documentation, on which tokens are compared."""
    from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files

    found = (paragraph for path in source_files(STANDARD_LIBRARY) for text in documents(path)[0] for paragraph in text)
    return itertools.islice(found, _PARAGRAPHS)
