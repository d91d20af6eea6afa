"""SentencePiece models that the library itself trains."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any


def train_sentencepiece(sentences: Iterable[str], vocab_size: int, **options: Any) -> bytes:
    """Trains a model with the special pieces of BERT; returns the bytes of its file.

    Args:
        sentences: text to train on.
        vocab_size: number of pieces.
        **options: further ones of the library's trainer, such as `model_type`.
    """
    import sentencepiece

    names = {"pad_piece": "[PAD]", "unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    ids = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=written,
        vocab_size=vocab_size,
        control_symbols=["[MASK]"],
        minloglevel=2,
        num_threads=1,
        **names,
        **ids,
        **options,
    )
    return written.getvalue()
