import pytest

from pipeline.errors import InputError
from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.learning.wordpiece import SPECIAL_TOKENS, learn_wordpiece
from pipeline.tokenizers.wordpiece import WordPieceTokenizer


def tokenizer(tokens: list[str]) -> WordPieceTokenizer:
    return WordPieceTokenizer("\n".join([*SPECIAL_TOKENS, *tokens]).encode(), lower_case=True)


def test_counts_words_tokens_and_what_is_lost() -> None:
    report = coverage(
        tokenizer(["a", "b", "##b", "ab", ","]),
        {"ab": 5, "abb": 3, "b": 2, "ba": 4, "Anb,": 1, "ψψ": 2, "x": 0, "": 1, "Á": 1},
    )
    # "ba" has no "##a", though "a" is there; "Á" is an "a" when lower-cased and without accents.
    assert report.words == 18
    assert report.characters == 5 * 2 + 3 * 3 + 2 + 4 * 2 + 4 + 2 * 2 + 1
    assert report.unknown_tokens == 4 + 1 + 2
    assert report.tokens == 5 + 3 * 2 + 2 + 4 + 2 + 2 + 1
    assert report.unknown_characters == {"ψ": 4, "n": 1}
    assert report.tokens_per_word == pytest.approx(22 / 18)
    assert report.unknown_share == pytest.approx(7 / 22)
    assert report.lost_share == pytest.approx(5 / 38)


def test_a_learned_vocabulary_covers_what_it_was_learned_from() -> None:
    counts = {"walk": 20, "walking": 12, "talk": 9, "talking": 7, "walked": 6}
    vocabulary = learn_wordpiece(counts, vocab_size=40)
    report = coverage(WordPieceTokenizer("\n".join(vocabulary).encode(), lower_case=True), counts)
    assert report.unknown_tokens == 0
    assert report.tokens_per_word < 1.5


def test_no_words() -> None:
    with pytest.raises(InputError):
        coverage(tokenizer(["a"]), {})
