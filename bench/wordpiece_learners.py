"""Compares WordPiece learners: seconds, entries, and tokens per word on held-out text.

    python bench/wordpiece_learners.py out/sample.txt --vocab-size 4000 8000

Every tenth document of the text is held out. tensorflow-text's learner is installed with this project; Hugging Face's
is compared if `tokenizers` is installed. All learn from the same words, normalised and split as BERT does.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.learning.wordpiece import SPECIAL_TOKENS, learn_wordpiece
from pipeline.tokenizers.normalizer import BertNormalizer
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

Learner = Callable[[Counter[str], int], list[str]]


def this_project(counts: Counter[str], vocab_size: int) -> list[str]:
    return learn_wordpiece(counts, vocab_size=vocab_size)


def tensorflow_text(counts: Counter[str], vocab_size: int) -> list[str]:
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    vocabulary: list[str] = learner.learn(
        list(counts.items()),
        vocab_size=vocab_size,
        reserved_tokens=list(SPECIAL_TOKENS),
        upper_thresh=None,
        lower_thresh=1,
    )
    return vocabulary


def hugging_face(counts: Counter[str], vocab_size: int) -> list[str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # type: ignore[import-not-found]

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), min_frequency=2)
    tokenizer.train_from_iterator((" ".join([word] * count) for word, count in counts.items()), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="UTF-8, a blank line between documents")
    parser.add_argument("--vocab-size", type=int, nargs="+", default=[4000, 8000])
    arguments = parser.parse_args()
    normalizer = BertNormalizer(lower_case=True)
    seen: Counter[str] = Counter()
    held_out: Counter[str] = Counter()
    for index, document in enumerate(arguments.text.read_text(encoding="utf-8-sig").split("\n\n")):
        if index % 10 == 9:
            held_out.update(document.split())
        else:
            seen.update(normalizer.words(" ".join(document.split())))
    print(f"{len(seen):,} distinct of {seen.total():,} words; held out: {held_out.total():,} words")
    print(f"{'asked for':>9}  {'learner':<16} {'entries':>8} {'seconds':>8} {'tokens/word':>12} {'[UNK] tokens':>12}")
    learners: list[Learner] = [this_project, tensorflow_text, hugging_face]
    for vocab_size in arguments.vocab_size:
        for learn in learners:
            start = time.perf_counter()
            try:
                vocabulary = learn(seen, vocab_size)
            except ImportError:
                continue
            seconds = time.perf_counter() - start
            report = coverage(WordPieceTokenizer("\n".join(vocabulary).encode(), lower_case=True), held_out)
            print(
                f"{vocab_size:>9}  {learn.__name__:<16} {len(vocabulary):>8} {seconds:>8.1f}"
                f" {report.tokens_per_word:>12.4f} {report.unknown_share:>12.4%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
