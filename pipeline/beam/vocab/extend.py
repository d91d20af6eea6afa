"""Extends a vocabulary: its entries keep their ids, and new ones take unused places or follow behind."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import files
from pipeline.beam.vocab.config import VocabConfig
from pipeline.errors import VocabularyError
from pipeline.tokenizers import Tokenizer, WordPieceTokenizer, tokenizer_of_file
from pipeline.tokenizers.learning.extension import choose_extension
from pipeline.tokenizers.tokenizer_file import is_tokenizer_file, is_unused
from pipeline.tokenizers.vocabulary import read_vocabulary

_REASONS = {
    "huggingface": "the merges and scores of a tokenizer.json decide how all text is cut, so that new entries would"
    " change the tokens of text without them",
    "sentencepiece": "the pieces of a SentencePiece model compete by their scores, so that new ones would change the"
    " tokens of text without them",
}


@dataclass(frozen=True)
class Extended:
    """A vocabulary that was extended.

    Attributes:
        data: the bytes of its file.
        tokens: the new entries, those that save most tokens first, but characters before all others.
        characters: how many of them are characters that the old vocabulary could not spell.
        in_unused: how many of them took the place of an unused entry.
        saved: how many tokens fewer the words have that they were chosen by.
    """

    data: bytes
    tokens: list[str]
    characters: int
    in_unused: int
    saved: int


def read_base(config: VocabConfig) -> Tokenizer:
    """Reads the vocabulary that is to be extended.

    Raises:
        VocabularyError: if it cannot be read, or is of a kind that cannot be extended.
    """
    data = read_vocabulary(config.extend)
    if is_tokenizer_file(data) and files.exists(
        beside := files.join(config.extend.rpartition("/")[0] or ".", "vocab.txt")
    ):
        raise VocabularyError(
            "Only a WordPiece vocabulary, one token per line, can be extended",
            received=f"{config.extend}, a tokenizer.json",
            do=f"If it is a WordPiece tokenizer, extend {beside}",
        )
    tokenizer, casing = tokenizer_of_file(config.extend, data, lower_case=config.lower_case)
    if not isinstance(tokenizer, WordPieceTokenizer):
        kind = tokenizer.describe().kind
        raise VocabularyError(
            "Only a WordPiece vocabulary, one token per line, can be extended",
            received=f"{config.extend}, of kind {kind}: {_REASONS[kind]}",
            do="Learn a new vocabulary from your text, and train a new model with it",
        )
    if not casing.certain:
        raise VocabularyError(
            f"It must be known whether text is lower-cased for {config.extend}",
            received=casing.reason,
            do="Set --lower-case or --no-lower-case, as the model was trained",
        )
    return tokenizer


def extend_vocabulary(config: VocabConfig, old: Tokenizer, word_counts: Mapping[str, int]) -> Extended:
    """Adds the words and pieces that save most tokens; the same counts give the same bytes.

    Args:
        config: the options; `add`, `character_coverage` and `min_count` of them.
        old: the tokenizer of the vocabulary that is extended.
        word_counts: how often each word occurs.

    Raises:
        VocabularyError: if nothing can be added.
    """
    chosen = choose_extension(
        word_counts,
        old.tokens,
        add=config.add,
        character_coverage=config.character_coverage,
        min_count=config.min_count,
    )
    if not chosen.tokens:
        raise VocabularyError(
            f"The text must have words that {config.extend} cuts into pieces",
            received=f"none that occurs {config.min_count} times",
            do="Use the old vocabulary, or more text",
        )
    tokens = list(old.tokens)
    places = [index for index, token in enumerate(tokens) if is_unused(token)][: len(chosen.tokens)]
    for place, token in zip(places, chosen.tokens, strict=False):
        tokens[place] = token
    tokens += chosen.tokens[len(places) :]
    data = "".join(f"{token}\n" for token in tokens).encode()
    return Extended(data, chosen.tokens, chosen.characters, len(places), chosen.saved)


def describe_extension(config: VocabConfig, old: Tokenizer, extended: Extended) -> dict[str, Any]:
    """Returns what the vocabulary's .json says of an extension."""
    return {
        "vocabulary": config.extend,
        "sha256": hashlib.sha256(files.read(config.extend)).hexdigest(),
        "entries": old.vocab_size,
        "added": len(extended.tokens),
        "characters": extended.characters,
        "in_unused_places": extended.in_unused,
        "tokens_saved": extended.saved,
    }


def describe_added(config: VocabConfig, old: Tokenizer, extended: Extended) -> str:
    """Returns a sentence on an extension, for printing."""
    behind = len(extended.tokens) - extended.in_unused
    places = [f"{extended.in_unused:,} in unused places"] * bool(extended.in_unused)
    places += [f"{behind:,} behind"] * bool(behind)
    characters = f", {extended.characters:,} of them characters that it could not spell" * bool(extended.characters)
    return (
        f"{old.vocab_size + behind:,} entries: the {old.vocab_size:,} of {config.extend}, and"
        f" {len(extended.tokens):,} new ones ({', '.join(places)}){characters},"
        f" such as {', '.join(extended.tokens[:8])}"
    )
