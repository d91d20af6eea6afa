import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.learning.extension import choose_extension
from pipeline.tokenizers.learning.wordpiece import learn_wordpiece
from pipeline.tokenizers.normalizer import BertNormalizer
from pipeline.tokenizers.tokenization import WordpieceTokenizer
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

LETTERS = ["a", "b", "c", "##a", "##b", "##c"]


def tokens_of(counts: Mapping[str, int], vocabulary: Iterable[str]) -> int:
    """The tokens of words by google-research/bert's algorithm, a word at a time."""
    tokenizer = WordpieceTokenizer(dict.fromkeys(vocabulary, 0), max_input_chars_per_word=200)
    return sum(count * len(tokenizer.tokenize(word)) for word, count in counts.items())


def candidates(counts: Mapping[str, int]) -> list[str]:
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for start, end in itertools.combinations(range(len(word) + 1), 2):
            found[("##" if start else "") + word[start:end]] += count
    return [piece for piece, count in found.items() if count >= 2]


# Of letters that differ, so that no piece occurs twice in a word, and can be counted without what it changes itself.
distinct = st.dictionaries(
    st.permutations("abc").map("".join) | st.sampled_from(["ab", "bc", "cab", "bac"]), st.integers(2, 9), min_size=1
)
words = st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(1, 9), min_size=1, max_size=12)
few = st.lists(st.sampled_from(["ab", "abc", "##bc", "##ca", "bca", "##abab", "cc"]), unique=True)


@settings(max_examples=300, deadline=None)
@given(words, few, st.integers(1, 6))
def test_what_it_saves_is_what_the_tokenizer_saves(counts: dict[str, int], known: list[str], add: int) -> None:
    vocabulary = [*LETTERS, *known]
    chosen = choose_extension(counts, vocabulary, add=add)
    assert len(chosen.tokens) <= add
    assert not set(chosen.tokens) & set(vocabulary)
    before, after = tokens_of(counts, vocabulary), tokens_of(counts, [*vocabulary, *chosen.tokens])
    assert before - after == chosen.saved
    for token in chosen.tokens:  # None is in vain, with the others there.
        assert tokens_of(counts, [*vocabulary, *(set(chosen.tokens) - {token})]) > after


@settings(max_examples=150, deadline=None)
@given(distinct, few)
def test_a_single_piece_is_the_best_there_is(counts: dict[str, int], known: list[str]) -> None:
    vocabulary = [*LETTERS, *known]
    least = min(tokens_of(counts, [*vocabulary, piece]) for piece in [*candidates(counts), "a"])
    assert tokens_of(counts, vocabulary) - choose_extension(counts, vocabulary, add=1).saved == least


@settings(max_examples=60, deadline=None)
@given(distinct, st.integers(2, 4))
def test_it_is_near_the_greedy_choice_by_trial(counts: dict[str, int], add: int) -> None:
    vocabulary, pieces = list(LETTERS), candidates(counts)
    for _ in range(add):
        best = min([*pieces, "a"], key=lambda piece: tokens_of(counts, [*vocabulary, piece]))
        vocabulary.append(best)
    by_trial = tokens_of(counts, LETTERS) - tokens_of(counts, vocabulary)
    assert choose_extension(counts, LETTERS, add=add).saved >= 0.9 * by_trial - 2


def test_stems_are_found_as_well_as_words() -> None:
    counts = {f"blorf{end}": 3 for end in ("ing", "ed", "er", "s", "able", "ive")}
    vocabulary = [*(mark + chr(code) for code in range(97, 123) for mark in ("", "##"))]
    vocabulary += ["##ing", "##ed", "##er", "##able", "##ive", "blo", "##rf"]
    chosen = choose_extension(counts, vocabulary, add=1)
    assert chosen.tokens == ["blorf"]
    assert chosen.saved == 3 * 6


def test_a_piece_that_words_make_useless_is_given_up() -> None:
    """Two words take all from their common stem, which saved most by itself."""
    counts = {"abcdef": 10, "abcdxy": 9, "zzz": 4, "zzzz": 4}
    vocabulary = [*(mark + char for char in "abcdefxyz" for mark in ("", "##"))]
    assert choose_extension(counts, vocabulary, add=1).tokens == ["abcd"]
    assert set(choose_extension(counts, vocabulary, add=3).tokens) == {"abcdef", "abcdxy", "zzz"}


def test_characters_that_cannot_be_spelled_come_first() -> None:
    counts = {"naïve": 6, "ïa": 3, "na": 50, "ψa": 1}
    vocabulary = [mark + char for char in "naive" for mark in ("", "##")]
    chosen = choose_extension(counts, vocabulary, add=3)
    assert chosen.tokens[:2] == ["##ï", "ï"]  # The more frequent form first; ψ occurs once.
    assert chosen.characters == 2
    assert chosen.tokens[2:] == ["na"]
    assert choose_extension(counts, vocabulary, add=1).tokens == ["##ï"]
    assert choose_extension(counts, vocabulary, add=3, character_coverage=0.9).characters == 0
    assert "ψ" in choose_extension(counts, vocabulary, add=9, min_count=1).tokens


def test_order_does_not_matter_and_nothing_is_left_to_add() -> None:
    draw = random.Random(1)
    counts = {"".join(draw.choices("abc", k=draw.randint(1, 9))): draw.randint(1, 40) for _ in range(200)}
    first = choose_extension(counts, LETTERS, add=40)
    assert len(first.tokens) == 40
    shuffled = draw.sample(list(counts.items()), len(counts))
    assert choose_extension(dict(shuffled), LETTERS, add=40) == first
    everything = choose_extension(counts, LETTERS, add=10_000)
    frequent = [word for word, count in counts.items() if count > 1]
    after = tokens_of({word: counts[word] for word in frequent}, [*LETTERS, *everything.tokens])
    assert after == sum(counts[word] for word in frequent)  # A token each.
    assert choose_extension(counts, [*LETTERS, *everything.tokens], add=10).tokens == []


@pytest.mark.parametrize("counts", [{}, {"": 3}, {"a" * 201: 2}])
def test_no_words(counts: dict[str, int]) -> None:
    with pytest.raises(VocabularyError, match="must contain words to extend"):
        choose_extension(counts, LETTERS, add=1)


def test_real_text_gains_more_than_its_most_costly_words() -> None:
    """Of Python's own documentation: text without new entries keeps its tokens, and the learned half costs less."""
    normalizer = BertNormalizer(lower_case=True)
    counts: Counter[str] = Counter()
    for path in source_files(STANDARD_LIBRARY)[:150]:
        for document in documents(path)[0]:
            counts.update(word for sentence in document for word in normalizer.words(sentence))
    general = Counter({word: count for word, count in counts.items() if len(word) < 7})
    old = learn_wordpiece(general, vocab_size=1500)
    assert len(counts) > 3000
    chosen = choose_extension(counts, old, add=500)
    before, after = (
        make_tokenizer("\n".join(tokens).encode(), lower_case=True) for tokens in (old, [*old, *chosen.tokens])
    )
    listed = list(counts)
    (_, splits), (new_ids, new_splits) = before.encode(listed), after.encode(listed)
    costs = {word: int(splits[i + 1] - splits[i]) for i, word in enumerate(listed)}
    total = sum(costs[word] * counts[word] for word in listed)
    new_total = sum(int(new_splits[i + 1] - new_splits[i]) * counts[word] for i, word in enumerate(listed))
    assert total - new_total == chosen.saved
    whole_words = sorted(((costs[word] - 1) * counts[word] for word in listed), reverse=True)[:500]
    assert chosen.saved > 1.02 * sum(whole_words)
    assert chosen.saved > 0.1 * total
    untouched = [i for i in range(len(listed)) if not (new_ids[new_splits[i] : new_splits[i + 1]] >= len(old)).any()]
    assert len(untouched) > 1000
    texts_kept = [listed[i] for i in untouched]
    assert before.encode(texts_kept)[0].tolist() == after.encode(texts_kept)[0].tolist()
    assert set(SPECIAL_TOKENS) <= set(old)
