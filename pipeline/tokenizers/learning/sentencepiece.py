"""Learns a SentencePiece model from the counts of words, with the library's own trainer.

Words are counted as the trainer would see them: leading white space is part of a word, and punctuation is split off,
because pieces must not mix it with letters. So "word", "word," and "(word)" are counted together, and text without
spaces is cut into clauses rather than paragraphs; both limit the number of distinct words.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import VocabularyError
from pipeline.tokenizers import sentencepiece_model
from pipeline.tokenizers.learning.seed_pieces import seed_pieces
from pipeline.tokenizers.normalizer import is_punctuation
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

# The library's own defaults.
_MAX_PIECE_CHARS = 16
_SEED_PIECES = 1_000_000
_SPACE = "▁"

_log = logging.getLogger(__name__)


def split_words(text: str) -> list[str]:
    """Cuts text into the words to count: runs of punctuation or of other characters, with any space before them.

    Longer runs are cut after 200 characters.
    """
    return _word_pattern().findall(" " + " ".join(text.split()))


@functools.cache
def _word_pattern() -> re.Pattern[str]:
    marks = re.escape("".join(filter(is_punctuation, map(chr, range(0x10000)))))
    return re.compile(f" ?(?:[{marks}]{{1,200}}|[^ {marks}]{{1,200}})")


def learn_sentencepiece(
    word_counts: Mapping[str, int],
    *,
    model_type: str,
    vocab_size: int,
    lower_case: bool = False,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    unused_tokens: int = 0,
    character_coverage: float = 0.99999,
    byte_fallback: bool = False,
) -> bytes:
    """Learns a model; the same counts give the same bytes, in any order.

    Args:
        word_counts: how often each word occurs; words as cut by `split_words`.
        model_type: "unigram" (Kudo, 2018, "Subword regularization") or "bpe" (Sennrich et al., 2016).
        vocab_size: number of pieces.
        lower_case: whether the model folds case; it always normalises text by NFKC.
        special_tokens: the first pieces, in this order; the first five are [PAD], [UNK], [CLS], [SEP] and [MASK].
        unused_tokens: number of placeholders, "[unused0]" and so on, that follow.
        character_coverage: share of all characters that the model must be able to spell, in (0, 1]: the rarest are
            left out, and become [UNK] or bytes.
        byte_fallback: whether to add a piece for each byte, so that nothing becomes [UNK].

    Returns:
        The bytes of the model file. It has `vocab_size` pieces, or fewer (and a warning is logged) if the words do not
        yield enough.

    Raises:
        VocabularyError: if there are no words, or `vocab_size` is too small for the characters.
    """
    rule = "nmt_nfkc_cf" if lower_case else "nmt_nfkc"
    counts = _normalize(word_counts, rule)
    if not counts:
        raise VocabularyError(
            "The text must contain words to learn a vocabulary from",
            received="none",
            do="Check that the input contains text",
        )
    pad, unk, cls, sep, *others = special_tokens
    options: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "hard_vocab_limit": False,
        "character_coverage": character_coverage,
        "byte_fallback": byte_fallback,
        "max_sentencepiece_length": _MAX_PIECE_CHARS,
        "max_sentence_length": 1 << 20,
        "normalization_rule_name": rule,
        **dict(zip(("pad_piece", "unk_piece", "bos_piece", "eos_piece"), (pad, unk, cls, sep), strict=True)),
        **dict(zip(("pad_id", "unk_id", "bos_id", "eos_id"), range(4), strict=True)),
        "control_symbols": [*others, *(f"[unused{i}]" for i in range(unused_tokens))],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as seeds:
        if model_type == "unigram":
            pieces = seed_pieces(
                {word.replace(" ", _SPACE): count for word, count in counts.items()},
                max_length=_MAX_PIECE_CHARS,
                limit=_SEED_PIECES,
            )
            seeds.writelines(f"{piece}\t{count}\n" for piece, count in pieces)
            seeds.flush()
            options |= {"seed_sentencepieces_file": seeds.name, "seed_sentencepiece_size": _SEED_PIECES}
        model = sentencepiece_model.parse_model(_train(counts, options), name="the model")
    # For training, words included their white space; for encoding, the model adds it.
    model.normalizer_spec.add_dummy_prefix = model.normalizer_spec.remove_extra_whitespaces = True
    model.trainer_spec.ClearField("seed_sentencepieces_file")  # The name of a file that is deleted by now.
    if len(model.pieces) < vocab_size:
        _log.warning(
            "The vocabulary has %d entries instead of %d: the words yield no further pieces.",
            len(model.pieces),
            vocab_size,
        )
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _normalize(word_counts: Mapping[str, int], rule: str) -> dict[str, int]:
    """Normalises the words as the model will, and adds up their counts."""
    import sentencepiece

    normalizer = sentencepiece.SentencePieceNormalizer(
        rule_name=rule, add_dummy_prefix=False, remove_extra_whitespaces=False, escape_whitespaces=False
    )
    words = sorted(word for word, count in word_counts.items() if count > 0)
    counts: Counter[str] = Counter()
    for word, normalized in zip(words, normalizer.normalize(words), strict=True):
        counts[normalized] += word_counts[word]
    return {word: count for word, count in counts.items() if word.strip()}


def _train(counts: Mapping[str, int], options: Mapping[str, Any]) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([f"{word}\t{counts[word]}" for word in sorted(counts)]),
            model_writer=model,
            input_format="tsv",
            num_threads=1,  # With several threads, the order of summation changes the pieces.
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        raise VocabularyError(
            "SentencePiece could not learn a vocabulary",
            received=str(error).rpartition("] ")[2] or str(error),
            do="Use more entries, fewer special and unused tokens, or a lower --character-coverage",
        ) from error
    return model.getvalue()
