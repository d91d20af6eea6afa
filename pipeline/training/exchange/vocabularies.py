"""Compares the vocabulary of a model with that of a corpus."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import CorpusError, InputError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from pipeline.tokenizers.growth import differences, growth
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.vocabulary_rows import VocabularyRows

_MOST_PADDING = 1024  # Tables are padded to a multiple of up to 1,024; more extra rows mean a different vocabulary.
_SHOWN = 3  # Differences in a message.
_OTHER_VOCABULARY = "Make the corpus with the vocabulary of the model"


def read_tokenizer(source: SourceModel) -> Tokenizer | None:
    """Builds the tokenizer of a model; returns None if it has no vocabulary.

    Raises:
        VocabularyError: if the vocabulary is malformed.
        InputError: if it has more entries than the model has rows, or far fewer.
    """
    if source.vocabulary is None:
        return None
    name = f"the vocabulary of {source.path}"
    tokenizer = make_tokenizer(source.vocabulary, name=name, lower_case=source.lower_case, special=source.special)
    _check_table(tokenizer.vocab_size, source.config.encoder.vocab_size, source.path)
    return tokenizer


def check_vocabulary(description: TokenizerDescription, vocab_dir: str, tokenizer: Tokenizer, *, owner: str) -> None:
    """Checks that a corpus was made with a model's vocabulary.

    Args:
        description: the corpus's tokenizer.
        vocab_dir: the directory of the corpus's vocabulary.
        tokenizer: the model's tokenizer.
        owner: the name of the model in messages.

    Raises:
        CorpusError: if they differ; it names a difference.
    """
    check_size(description, tokenizer.vocab_size, owner)
    held = load_tokenizer(description, vocab_dir)
    pairs = enumerate(zip(held.tokens, tokenizer.tokens, strict=True))
    differing = [f"{ours!r} instead of {theirs!r} (id {index})" for index, (ours, theirs) in pairs if ours != theirs]
    if differing:
        raise CorpusError(
            f"The corpus's vocabulary differs from that of {owner}", received=_first(differing), do=_OTHER_VOCABULARY
        )
    _check_casing(description, held, tokenizer, owner)


def compare_vocabulary(
    description: TokenizerDescription, vocab_dir: str, tokenizer: Tokenizer, source: SourceModel
) -> VocabularyRows:
    """Compares a corpus's vocabulary with a model's, which it may extend.

    Args:
        description: the corpus's tokenizer.
        vocab_dir: the directory of the corpus's vocabulary.
        tokenizer: the model's tokenizer.
        source: the model.

    Returns:
        How the rows of the model's vocabulary change.

    Raises:
        CorpusError: if the vocabulary neither matches nor extends the model's; it names the first differences.
    """
    held = load_tokenizer(description, vocab_dir)
    if differing := differences(tokenizer, held):
        raise CorpusError(
            f"The corpus's vocabulary must be that of {source.path} or extend it: the same entries with the same ids,"
            " with new entries only in the places of unused ones or at the end",
            received=_first(differing),
            do=f"{_OTHER_VOCABULARY}, or with one that vocab --extend made from it",
        )
    _check_casing(description, held, tokenizer, source.path)
    return VocabularyRows(
        table=source.config.encoder.vocab_size or tokenizer.vocab_size,
        entries=tokenizer.vocab_size,
        growth=growth(tokenizer, held),
        ordinary_ids=tokenizer.ordinary_ids,
    )


def _first(differing: Sequence[str]) -> str:
    return f"{len(differing):,} different entries, such as {', '.join(differing[:_SHOWN])}"


def _check_casing(description: TokenizerDescription, held: Tokenizer, tokenizer: Tokenizer, owner: str) -> None:
    comparable = description.kind == tokenizer.describe().kind  # A tokenizer.json has its own normalisation.
    if comparable and tokenizer.casing.certain and held.lower_case != tokenizer.lower_case:
        raise CorpusError(
            f"The corpus must use the same lower-casing as {owner}",
            received=f"lower_case {held.lower_case} instead of {tokenizer.lower_case}",
            do=_OTHER_VOCABULARY,
        )


def check_size(description: TokenizerDescription, vocab_size: int | None, owner: str) -> None:
    """Checks that a corpus's vocabulary has as many entries as a model.

    Raises:
        CorpusError: if the numbers differ.
    """
    if description.vocab_size != vocab_size:
        raise CorpusError(
            f"The corpus's vocabulary must have {vocab_size:,} entries, like that of {owner}",
            received=f"{description.vocab_size:,}",
            do=_OTHER_VOCABULARY,
        )


def _check_table(entries: int, table: int | None, path: str) -> None:
    """Checks that a model's table has a row for each entry of its vocabulary, and only a few more.

    Raises:
        InputError: if it has fewer rows, or so many more that the vocabulary must be a different one.
    """
    if table is None or table == entries:
        return
    if table < entries or table - entries >= _MOST_PADDING:
        raise InputError(
            f"The vocabulary of {path} must have an entry for each of the model's {table:,} rows, except for fewer than"
            f" {_MOST_PADDING:,} rows of padding",
            received=f"{entries:,} entries",
            do="Copy the model's own vocabulary to its directory",
        )
