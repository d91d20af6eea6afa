"""Builds tokenizers in a graph, and verifies that their ids are those of this project's tokenizers."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError, VocabularyError
from pipeline.seeding import generator
from pipeline.tokenizers import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from pipeline.tokenizers.base import MASK, TokenBatch
from pipeline.training.text_ops.base import TextOps
from pipeline.training.text_ops.sentencepiece import SentencePieceOps
from pipeline.training.text_ops.wordpiece import WordPieceOps

_BATCH = 8192  # Texts compared at a time.
_MADE = 2000  # Number of texts made from the vocabulary's entries.
_HARD = (
    *(
        "",
        " ",
        "\t x\n",
        "a\x00b\x7fc\x85d",
        "\u200b\u200dx\ufeff",
        "\ufffd",
        "a\u2028b\u3000c",
        "[MASK] [CLS][SEP]<s>",
    ),
    *(
        "漢字 and かな, 한글!",
        "é e\u0301 ſ ß ẞ İ ı naïve",
        "ΑΣ Σ ΑΣΑ Σ' ΟΔΟΣ'Σ ΑΣ\u0301 ΑΣ.Α",
        "½ ﬁ ㎏ ① ＡＢＣ",
        "👩\u200d👩😀",
    ),
    *("x" * 100, "x" * 101, "x" * 200, "x" * 201, "é" * 200, "漢" * 300, "x" * 3000, "x. " * 500, "▁", "a▁b", "<0x41>"),
    *(" a  b ", "\u302e\U00016ff0x\u0301\u0323\ufe0f\u302f\U0001d165"),
)
_WITH_MASKS = (
    MASK,
    f"{MASK}{MASK} a {MASK}",
    f"a {MASK} b",
    f"a{MASK}b",
    f"\u3000 {MASK}, Σ{MASK}\n",
    "<mask> [MASK",
    "",
)


def text_ops(tokenizer: Tokenizer) -> TextOps:
    """Builds a tokenizer in a graph.

    Raises:
        ConfigError: for a tokenizer.json, which is not supported.
        VocabularyError: if tensorflow-text does not accept the vocabulary.
    """
    if isinstance(tokenizer, WordPieceTokenizer):
        return WordPieceOps(tokenizer)
    if isinstance(tokenizer, SentencePieceTokenizer):
        return SentencePieceOps(tokenizer)
    raise ConfigError(
        "Only models with a WordPiece or SentencePiece vocabulary can take text",
        received="a tokenizer.json, for which tensorflow-text has no operation",
    )


def check_text_ops(ops: TextOps, tokenizer: Tokenizer, prose: Iterable[str] = ()) -> None:
    """Checks that a tokenizer in a graph gives the same ids as the original.

    They are compared on all assigned Unicode characters except most ideographs, on difficult texts, on texts made from
    the vocabulary's entries, and on prose.

    Args:
        ops: the result of `text_ops`.
        tokenizer: the original tokenizer.
        prose: further texts to compare.

    Raises:
        VocabularyError: if the ids of a text differ; it shows the text.
    """
    compared = itertools.chain(_HARD, _all_characters(), _made_of(tokenizer), prose)
    while texts := list(itertools.islice(compared, _BATCH)):
        _compare(tokenizer, texts, tokenizer.encode(texts), ops.tokenize(tf.constant(texts)))
    masked = [*_WITH_MASKS, *(text.replace(" ", f" {MASK} ", 2) for text in _HARD)]
    rows = [np.array(tokenizer.encode_with_masks(text), np.int32) for text in masked]
    expected = TokenBatch(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))
    _compare(tokenizer, masked, expected, ops.tokenize_with_masks(tf.constant(masked)))


def _compare(tokenizer: Tokenizer, texts: Sequence[str], expected: TokenBatch, found: tf.RaggedTensor) -> None:
    values, splits = found.values.numpy(), found.row_splits.numpy()
    if np.array_equal(values, expected.ids) and np.array_equal(splits, expected.row_splits):
        return
    for row, text in enumerate(texts):
        ours, theirs = (
            [tokenizer.show(int(i)) for i in ids[of[row] : of[row + 1]]] for ids, of in (expected, (values, splits))
        )
        if ours != theirs:
            at = next(i for i, pair in enumerate(itertools.zip_longest(ours, theirs)) if pair[0] != pair[1])
            near = slice(max(at - 2, 0), at + 3)
            raise VocabularyError(
                "tensorflow-text does not give the same tokens as this project",
                received=f"{theirs[near]} instead of {ours[near]} in {text[:100]!r}",
                do="Tokenize outside the model: --no-text-signatures exports it without the signatures that take text",
            )


def _all_characters() -> Iterator[str]:
    """Yields all assigned Unicode characters except most ideographs, each between letters."""
    for code in (*range(0x20100), *range(0xE0000, 0xE0200)):
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs"):
            yield f"x{chr(code)}y"


def _made_of(tokenizer: Tokenizer) -> Iterator[str]:
    """Yields concatenations of random entries, and repeated characters: unlikely text in the vocabulary's language."""
    draw = generator(0, "text-ops")
    for ids in draw.choice(tokenizer.ordinary_ids, (_MADE, 12)):
        yield "".join(tokenizer.show(int(i)).removeprefix("##").replace("▁", " ") for i in ids)
    words = {tokenizer.show(int(i)).strip("▁") for i in tokenizer.ordinary_ids}
    for word in sorted(word for word in words if len(word) > 1 and len(set(word)) == 1):
        yield f"{word}{word[0]} {word * 2}{word[0]}"
