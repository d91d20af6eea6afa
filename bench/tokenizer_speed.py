"""Measures this project's tokenizers and those of libraries on one core, in tokens and megabytes per second.

    python bench/tokenizer_speed.py out/sample.txt --megabytes 4

WordPiece uses the given vocabulary; the SentencePiece models and a byte-level BPE are learned from the text, with the
same number of entries. Each row is the median of several runs over the same sentences, after a warm-up run. "same ids"
is the share of sentences with the reference ids: for WordPiece those of this project, which
tests/tokenizers/test_wordpiece.py compares with google-research/bert's algorithm; for SentencePiece those of
`sentencepiece`; for a byte-level BPE those of `tokenizers`.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.quiet import start_tensorflow
from pipeline.tokenizers import HuggingFaceTokenizer, SentencePieceTokenizer, TokenBatch, WordPieceTokenizer
from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs, word_splitter
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words

Encode = Callable[[list[str]], TokenBatch]


def from_ragged(ragged: Any) -> TokenBatch:
    return TokenBatch(ragged.flat_values.numpy(), ragged.row_splits.numpy())


def fast_bert(vocabulary: WordPieceTokenizer) -> Encode:
    import tensorflow as tf
    import tensorflow_text as tf_text

    kernel = tf_text.FastBertTokenizer(
        list(vocabulary.tokens), token_out_type=tf.int32, lower_case_nfd_strip_accents=vocabulary.lower_case
    )
    return lambda sentences: from_ragged(kernel.tokenize(tf.constant(sentences)))


def tensorflow_text_sentencepiece(model: bytes) -> Encode:
    import tensorflow as tf
    import tensorflow_text as tf_text

    kernel = tf_text.SentencepieceTokenizer(model)
    return lambda sentences: from_ragged(kernel.tokenize(tf.constant(sentences)))


def sentencepiece_library(model: bytes, *, arrays: bool) -> Encode:
    """Returns the library's own encoder, which makes a list or an array per sentence."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model, num_threads=1)

    def encode(sentences: list[str]) -> TokenBatch:
        rows = processor.encode_as_numpy(sentences) if arrays else processor.encode(sentences, out_type=int)
        splits = np.cumsum([0, *map(len, rows)])
        flat = np.concatenate(rows) if arrays else np.array(list(chain.from_iterable(rows)), np.int32)
        return TokenBatch(flat, splits)

    return encode


def tokenizers_library(model: bytes) -> Encode:
    """Returns the library's own encoder, on one core like the others."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_str(model.decode())

    def encode(sentences: list[str]) -> TokenBatch:
        rows = [found.ids for found in tokenizer.encode_batch_fast(sentences, add_special_tokens=False)]
        return TokenBatch(np.array(list(chain.from_iterable(rows)), np.int32), np.cumsum([0, *map(len, rows)]))

    return encode


def all_tokenizers(vocabulary: bytes, text: str) -> Iterator[tuple[str, Encode, Encode]]:
    """Yields the name of each tokenizer, its encoder, and the reference encoder."""
    wordpiece = WordPieceTokenizer(vocabulary)
    yield "WordPiece, this project", wordpiece.encode, wordpiece.encode
    yield "WordPiece, tensorflow-text FastBertTokenizer", fast_bert(wordpiece), wordpiece.encode
    counts = Counter(split_words(text))
    for model_type in ("unigram", "bpe"):
        model = learn_sentencepiece(
            counts, model_type=model_type, vocab_size=wordpiece.vocab_size, lower_case=wordpiece.lower_case
        )
        library = sentencepiece_library(model, arrays=False)
        yield f"{model_type}, this project", SentencePieceTokenizer(model).encode, library
        yield f"{model_type}, sentencepiece, lists", library, library
        yield f"{model_type}, sentencepiece, arrays", sentencepiece_library(model, arrays=True), library
        yield f"{model_type}, tensorflow-text SentencepieceTokenizer", tensorflow_text_sentencepiece(model), library
    words = Counter(word_splitter(lower_case=wordpiece.lower_case)(text))
    model = learn_byte_pairs(words, vocab_size=wordpiece.vocab_size, lower_case=wordpiece.lower_case)
    library = tokenizers_library(model)
    yield "byte-level BPE, this project", HuggingFaceTokenizer(model).encode, library
    yield "byte-level BPE, tokenizers", library, library


def rows(batch: TokenBatch) -> list[bytes]:
    return [batch.ids[start:end].tobytes() for start, end in pairwise(batch.row_splits.tolist())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="UTF-8")
    parser.add_argument(
        "--vocab", type=Path, default=Path("vocab/sample-uncased-8k.txt"), help="a WordPiece vocabulary"
    )
    parser.add_argument("--megabytes", type=float, default=4.0, help="of text to use")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # Before TensorFlow starts its threads.
    start_tensorflow()
    text = arguments.text.read_text(encoding="utf-8-sig")[: int(arguments.megabytes * 1e6)]
    sentences = [sentence for sentence in re.split(r"\n+|(?<=[.!?]) ", text) if sentence]
    size = sum(len(sentence.encode()) for sentence in sentences) / 1e6
    print(f"{len(sentences):,} sentences, {size:.1f} MB, one core, median of {arguments.runs} runs")
    print(f"{'tokenizer':<50} {'tokens':>9} {'Mtokens/s':>10} {'MB/s':>7} {'same ids':>9}")
    for name, encode, right in all_tokenizers(arguments.vocab.read_bytes(), text):
        batch, expected = encode(sentences), right(sentences)
        same = sum(a == b for a, b in zip(rows(batch), rows(expected), strict=True)) / len(sentences)
        seconds = []
        for _ in range(arguments.runs):
            start = time.perf_counter()
            encode(sentences)
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        speed = f"{len(batch.ids) / median / 1e6:>10.2f} {size / median:>7.1f}"
        print(f"{name:<50} {len(batch.ids):>9,} {speed} {same:>9.3%}", flush=True)


if __name__ == "__main__":
    main()
