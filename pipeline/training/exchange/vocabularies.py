"""The vocabulary of a model beside that of a corpus."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import CorpusError, InputError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from pipeline.tokenizers.growth import differences, growth
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.vocabulary_rows import VocabularyRows

_MOST_PADDING = 1024  # Tables are padded to a multiple of 8 to 1,024; more rows mean another vocabulary.
_SHOWN = 3  # Differences.
_OTHER_VOCABULARY = "Make the corpus with the vocabulary of the model"


def read_tokenizer(source: SourceModel) -> Tokenizer | None:
    """The tokenizer of a model; None if it has no vocabulary.

    Raises:
        VocabularyError: if that is malformed.
        InputError: if it has more or far fewer entries than the model has rows.
    """
    if source.vocabulary is None:
        return None
    name = f"the vocabulary of {source.path}"
    tokenizer = make_tokenizer(source.vocabulary, name=name, lower_case=source.lower_case, special=source.special)
    _check_table(tokenizer.vocab_size, source.config.encoder.vocab_size, source.path)
    return tokenizer


def check_vocabulary(description: TokenizerDescription, vocab_dir: str, tokenizer: Tokenizer, *, owner: str) -> None:
    """Makes sure that a corpus was made with a model's vocabulary.

    Args:
        description: the corpus's tokenizer.
        vocab_dir: where the corpus's vocabulary lies.
        tokenizer: the model's.
        owner: what to call the model in messages.

    Raises:
        CorpusError: naming a difference.
    """
    check_size(description, tokenizer.vocab_size, owner)
    held = load_tokenizer(description, vocab_dir)
    pairs = enumerate(zip(held.tokens, tokenizer.tokens, strict=True))
    differing = [f"{ours!r} instead of {theirs!r} (id {index})" for index, (ours, theirs) in pairs if ours != theirs]
    if differing:
        raise CorpusError(
            f"The corpus's vocabulary must be that of {owner}", received=_first(differing), do=_OTHER_VOCABULARY
        )
    _check_casing(description, held, tokenizer, owner)


def compare_vocabulary(
    description: TokenizerDescription, vocab_dir: str, tokenizer: Tokenizer, source: SourceModel
) -> VocabularyRows:
    """Compares a corpus's vocabulary with a model's, which it may extend.

    Args:
        description: the corpus's tokenizer.
        vocab_dir: where the corpus's vocabulary lies.
        tokenizer: the model's.
        source: the model.

    Returns:
        What becomes of the rows of the model's vocabulary.

    Raises:
        CorpusError: naming the first differences.
    """
    held = load_tokenizer(description, vocab_dir)
    if differing := differences(tokenizer, held):
        raise CorpusError(
            f"The corpus's vocabulary must be that of {source.path}, or extend it: the same entries with the same ids,"
            " and new ones in the places of unused ones or behind",
            received=_first(differing),
            do=f"{_OTHER_VOCABULARY}, or with what vocab --extend made of it",
        )
    _check_casing(description, held, tokenizer, source.path)
    return VocabularyRows(
        table=source.config.encoder.vocab_size or tokenizer.vocab_size,
        entries=tokenizer.vocab_size,
        growth=growth(tokenizer, held),
        ordinary_ids=tokenizer.ordinary_ids,
    )


def _first(differing: Sequence[str]) -> str:
    return f"{len(differing):,} other entries, such as {', '.join(differing[:_SHOWN])}"


def _check_casing(description: TokenizerDescription, held: Tokenizer, tokenizer: Tokenizer, owner: str) -> None:
    comparable = description.kind == tokenizer.describe().kind  # A tokenizer.json normalises text by itself.
    if comparable and tokenizer.casing.certain and held.lower_case != tokenizer.lower_case:
        raise CorpusError(
            f"The corpus's text must be lower-cased as for {owner}",
            received=f"lower_case {held.lower_case} instead of {tokenizer.lower_case}",
            do=_OTHER_VOCABULARY,
        )


def check_size(description: TokenizerDescription, vocab_size: int | None, owner: str) -> None:
    """Makes sure that a corpus's vocabulary has as many entries as a model.

    Raises:
        CorpusError: if it has not.
    """
    if description.vocab_size != vocab_size:
        raise CorpusError(
            f"The corpus's vocabulary must have the {vocab_size:,} entries of {owner}",
            received=f"{description.vocab_size:,}",
            do=_OTHER_VOCABULARY,
        )


def _check_table(entries: int, table: int | None, path: str) -> None:
    """Makes sure that a model's table has a row for each entry of its vocabulary, and little more.

    Raises:
        InputError: if it has fewer, or so many more that the vocabulary must be another one.
    """
    if table is None or table == entries:
        return
    if table < entries or table - entries >= _MOST_PADDING:
        raise InputError(
            f"The vocabulary of {path} must have an entry for each of the model's {table:,} rows, but for padding of"
            f" fewer than {_MOST_PADDING:,}",
            received=f"{entries:,} entries",
            do="Copy the model's own vocabulary beside it, as a whole",
        )
