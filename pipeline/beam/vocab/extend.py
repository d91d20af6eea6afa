"""Extends a vocabulary: its entries keep their ids, and new ones take unused places or follow behind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline import files
from pipeline.beam.vocab.config import VocabConfig
from pipeline.errors import ConfigError, VocabularyError
from pipeline.tokenizers import (
    HuggingFaceTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
    make_tokenizer,
    tokenizer_of_file,
)
from pipeline.tokenizers.learning.extension import choose_extension
from pipeline.tokenizers.learning.grown_files import (
    check_grown,
    file_with_merges,
    file_with_pieces,
    file_with_scores,
    model_with_scores,
)
from pipeline.tokenizers.learning.token_extension import choose_merges, choose_pieces, choose_scored
from pipeline.tokenizers.tokenizer_file import is_unused, model_type
from pipeline.tokenizers.vocabulary import find_vocabulary, read_vocabulary

_ADVICE = "Learn a new vocabulary from your text, and train a new model with it"


class Base(NamedTuple):
    """A vocabulary that is to be extended.

    Attributes:
        path: its file.
        data: the bytes of it.
        tokenizer: its tokenizer.
    """

    path: str
    data: bytes
    tokenizer: Tokenizer

    @property
    def counts_whole_words(self) -> bool:
        """Whether its words are to be counted as white space separates them, and not as BERT splits them."""
        return not isinstance(self.tokenizer, WordPieceTokenizer)


@dataclass(frozen=True)
class Extended:
    """A vocabulary that was extended.

    Attributes:
        data: the bytes of its file.
        tokenizer: its tokenizer.
        tokens: the new entries, in the order in which they were chosen, but characters before all others.
        characters: how many of them are characters that the old vocabulary could not spell.
        in_unused: how many of them took the place of an unused entry.
        saved: how many tokens fewer the words have that they were chosen by.
    """

    data: bytes
    tokenizer: Tokenizer
    tokens: list[str]
    characters: int
    in_unused: int
    saved: int


def read_base(config: VocabConfig) -> Base:
    """Reads the vocabulary that is to be extended.

    Raises:
        VocabularyError: if it cannot be read, or is of a kind that cannot be extended.
        ConfigError: if it is the output.
    """
    path = find_vocabulary(config.extend)
    if files.same(path, config.output):
        raise ConfigError(
            "output must be another file than the vocabulary to extend: a model that was trained with it needs it",
            received=config.output,
        )
    data = read_vocabulary(path)
    tokenizer, casing = tokenizer_of_file(path, data, lower_case=config.lower_case)
    if refused := _refused(tokenizer):
        raise VocabularyError(
            "A vocabulary to extend must be of WordPiece, byte pairs or unigrams",
            received=f"{path}, {refused}",
            do=_ADVICE,
        )
    if not casing.certain:
        raise VocabularyError(
            f"It must be known whether text is lower-cased for {path}",
            received=casing.reason,
            do="Set --lower-case or --no-lower-case, as the model was trained",
        )
    return Base(path, data, tokenizer)


def _refused(tokenizer: Tokenizer) -> str:
    """Why a vocabulary cannot be extended; "" if it can."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return "" if tokenizer.is_unigram or tokenizer.is_byte_pairs else "a model of whole words or characters"
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        return ""
    kind, model = model_type(tokenizer.values), tokenizer.values["model"]
    prefix = model.get("continuing_subword_prefix")
    if kind == "WordLevel":
        return "whose entries are whole words: text has no pieces that could be merged"
    if kind == "BPE" and prefix:
        return f"a byte-pair encoding whose entries within a word begin with {prefix!r}, which merges take away again"
    if kind == "WordPiece" and prefix != "##":
        return f"a WordPiece vocabulary whose entries within a word begin with {prefix!r} instead of '##'"
    return ""


def extend_vocabulary(config: VocabConfig, base: Base, word_counts: Mapping[str, int]) -> Extended:
    """Adds the words and pieces that save most tokens; the same counts give the same bytes.

    Args:
        config: the options; `add`, `character_coverage` and `min_count` of them.
        base: the vocabulary that is extended.
        word_counts: how often each word occurs.

    Raises:
        VocabularyError: if nothing can be added.
    """
    old, chosen = base.tokenizer, _choose(config, base, word_counts)
    if not chosen.tokens:
        raise VocabularyError(
            f"The text must have words that {base.path} cuts into pieces",
            received=f"none that occurs {config.min_count} times",
            do="Use the old vocabulary, or more text",
        )
    # A tokenizer.json normalises text by itself.
    lower_case = old.lower_case or (None if isinstance(old, HuggingFaceTokenizer) else False)
    new = make_tokenizer(chosen.data, name=config.output, lower_case=lower_case, special=old.special_ids)
    check_grown(old.tokens, new.tokens, chosen.tokens, name=base.path)
    return Extended(tokenizer=new, **chosen._asdict())


class _Choice(NamedTuple):
    """See `Extended`."""

    data: bytes
    tokens: list[str]
    saved: int
    characters: int = 0
    in_unused: int = 0


def _choose(config: VocabConfig, base: Base, word_counts: Mapping[str, int]) -> _Choice:
    """Chooses the new entries as the kind of the vocabulary needs it, and puts them into its file."""
    old, limits = base.tokenizer, {"add": config.add, "min_count": config.min_count}
    if isinstance(old, SentencePieceTokenizer):
        choose = choose_scored if old.is_unigram else choose_pieces
        scored = choose(old, word_counts, **limits)
        data = model_with_scores(base.data, scored.scores, name=base.path)
        return _Choice(data, list(scored.scores), scored.saved)
    kind = model_type(old.values) if isinstance(old, HuggingFaceTokenizer) else ""
    if isinstance(old, HuggingFaceTokenizer) and kind == "Unigram":
        scored = choose_scored(old, word_counts, **limits)
        return _Choice(file_with_scores(old, scored.scores), list(scored.scores), scored.saved)
    if isinstance(old, HuggingFaceTokenizer) and kind == "BPE":
        merged = choose_merges(old, word_counts, **limits)
        return _Choice(file_with_merges(old, merged.tokens, merged.merges), merged.tokens, merged.saved)
    words = _model_words(old, word_counts) if isinstance(old, HuggingFaceTokenizer) else word_counts
    chosen = choose_extension(words, old.tokens, **limits, character_coverage=config.character_coverage)
    added = old.added if isinstance(old, HuggingFaceTokenizer) else {}
    places = [i for i, token in enumerate(old.tokens) if is_unused(token) and token not in added][: len(chosen.tokens)]
    if isinstance(old, HuggingFaceTokenizer):
        data = file_with_pieces(old, chosen.tokens, places)
    else:
        data = _lines(old, chosen.tokens, places)
    return _Choice(data, chosen.tokens, chosen.saved, chosen.characters, len(places))


def _lines(old: Tokenizer, added: list[str], places: list[int]) -> bytes:
    """A vocabulary of one token per line."""
    tokens = list(old.tokens)
    for place, token in zip(places, added, strict=False):
        tokens[place] = token
    return "".join(f"{token}\n" for token in [*tokens, *added[len(places) :]]).encode()


def _model_words(tokenizer: HuggingFaceTokenizer, word_counts: Mapping[str, int]) -> Mapping[str, int]:
    """Counts the words that the model of a tokenizer.json is given, without those that it takes for unknown."""
    longest = tokenizer.values["model"].get("max_input_chars_per_word", 100)
    counts: Counter[str] = Counter()
    for word, count in word_counts.items():
        for part in tokenizer.split_words(word):
            if len(part) <= longest:
                counts[part] += count
    return counts


def describe_extension(config: VocabConfig, base: Base, extended: Extended) -> dict[str, Any]:
    """Returns what the vocabulary's .json says of an extension."""
    return {
        "vocabulary": config.extend,
        "sha256": hashlib.sha256(base.data).hexdigest(),
        "entries": base.tokenizer.vocab_size,
        "added": len(extended.tokens),
        "characters": extended.characters,
        "in_unused_places": extended.in_unused,
        "tokens_saved": extended.saved,
    }


def describe_added(config: VocabConfig, base: Base, extended: Extended) -> str:
    """Returns a sentence on an extension, for printing."""
    behind = len(extended.tokens) - extended.in_unused
    places = [f"{extended.in_unused:,} in unused places"] * bool(extended.in_unused)
    places += [f"{behind:,} behind"] * bool(behind)
    characters = f", {extended.characters:,} of them characters that it could not spell" * bool(extended.characters)
    ids = {token: index for index, token in enumerate(extended.tokenizer.tokens)}
    shown = [extended.tokenizer.show(ids[token]) for token in extended.tokens[:8]]
    return (
        f"{base.tokenizer.vocab_size + behind:,} entries: the {base.tokenizer.vocab_size:,} of {config.extend}, and"
        f" {len(extended.tokens):,} new ones ({', '.join(places)}){characters}, such as {', '.join(shown)}"
    )
