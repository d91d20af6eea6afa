"""Sentence splitters: built-in ones, or any function from text to sentences."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pipeline.errors import ConfigError, InputError
from pipeline.text.sentences import split_sentences

SPLITTERS = {
    "auto": "lines for BERT's format, otherwise rules",
    "rules": "split at full stops and other sentence ends, for many languages",
    "lines": "each line is a sentence",
    "none": "each document is one sentence",
}
SentenceSplitter = Callable[[str], list[str]]


def sentence_splitter(name: str, text_format: str) -> SentenceSplitter:
    """Returns a sentence splitter.

    Args:
        name: a key of `SPLITTERS`, or "package.module:function" for a function that takes a document, whose lines are
            its paragraphs, and returns its sentences.
        text_format: the format of the text, a key of `pipeline.text.reading.formats.FORMATS`.

    Returns:
        A function from a document to its sentences, none of them empty.

    Raises:
        ConfigError: if there is no splitter of this name.
    """
    if name == "auto":
        name = "lines" if text_format == "bert" else "rules"
    if name == "rules":
        return split_sentences
    if name == "lines":
        return lambda document: document.split("\n")
    if name == "none":
        return lambda document: [document.replace("\n", " ")]
    return _checked(name, _load(name))


def check_sentence_splitter(name: str) -> None:
    """Checks that there is a sentence splitter of this name and that it works.

    Raises:
        ConfigError: if it does not exist or fails.
    """
    try:
        sentence_splitter(name, "lines")("It rained. Nobody came.\nIt was over.")
    except InputError as error:
        raise ConfigError(str(error)) from error


def _load(name: str) -> Callable[[str], Any]:
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise ConfigError(
            f"sentence_splitter must be one of {', '.join(SPLITTERS)}, or package.module:function", received=repr(name)
        )
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # A module may raise any exception on import.
        raise ConfigError(
            f"The sentence splitter {name} must be importable, here and on every worker",
            received=f"{type(error).__name__}: {error}",
            do="Install its package",
        ) from error
    if not callable(found):
        raise ConfigError(f"The sentence splitter {name} must be a function", received=type(found).__name__)
    return found  # type: ignore[no-any-return]


def _checked(name: str, function: Callable[[str], Any]) -> SentenceSplitter:
    def split(document: str) -> list[str]:
        try:
            sentences = function(document)
            if isinstance(sentences, str):
                raise TypeError("a string")
            # Line feeds within a sentence would start new paragraphs.
            return [stripped for sentence in sentences if (stripped := " ".join(sentence.split("\n")).strip())]
        except Exception as error:
            raise InputError(
                f"The sentence splitter {name} must return a list of strings for every document",
                received=f"{type(error).__name__}: {error}, for {document[:60]!r}",
            ) from error

    return split
