from __future__ import annotations

import hashlib
import itertools
import random
import sys
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import CorpusError, VocabularyError
from pipeline.files import write_atomically
from pipeline.tokenizers import load_tokenizer, wordpiece
from pipeline.tokenizers.base import TokenBatch
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
Words = Callable[[str, bool], list[str]]


def greedy_pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """Longest match first, from the left (Schuster and Nakajima, 2012; Devlin et al., 2019); [UNK] if that fails."""
    if len(word) > 200:
        return [vocabulary["[UNK]"]]
    pieces = []
    rest = word
    while rest:
        prefix = "##" if pieces else ""
        fitting = [n for n in range(1, len(rest) + 1) if prefix + rest[:n] in vocabulary]
        if not fitting:
            return [vocabulary["[UNK]"]]
        pieces.append(vocabulary[prefix + rest[: fitting[-1]]])
        rest = rest[fitting[-1] :]
    return pieces


def as_file(tokens: Sequence[str]) -> bytes:
    return "".join(f"{token}\n" for token in tokens).encode()


def rows(batch: TokenBatch) -> list[list[int]]:
    assert batch.ids.dtype == np.int32
    assert batch.row_splits.dtype == np.int64
    assert batch.row_splits[-1] == len(batch.ids)
    return [batch.ids[start:end].tolist() for start, end in itertools.pairwise(batch.row_splits)]


class Checker:
    """A tokenizer, and what it is to give."""

    def __init__(self, tokens: list[str], reference_words: Words, lower_case: bool) -> None:
        self.tokenizer = WordPieceTokenizer(as_file(tokens), lower_case=lower_case)
        self._ids = {token: index for index, token in enumerate(tokens)}
        self._words, self._lower_case = reference_words, lower_case
        self._known: dict[str, list[int]] = {}

    def expected(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in self._words(text, self._lower_case):
            if word not in self._known:
                self._known[word] = greedy_pieces(word, self._ids)
            ids += self._known[word]
        return ids

    def check(self, texts: list[str]) -> None:
        assert rows(self.tokenizer.encode(texts)) == [self.expected(text) for text in texts]


# Characters of every kind, and of the large uniform ranges (ideographs, Hangul, private use, unassigned) only a few.
CHARACTERS = [
    char
    for code in range(0x110000)
    if unicodedata.category(char := chr(code)) not in ("Lo", "Co", "Cn") or code < 0x3400 or code % 97 == 0
]
# What can stand in a file of tokens, a line each.
WRITABLE = [char for char in CHARACTERS if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")]


@pytest.fixture(scope="module", params=[False, True], ids=["cased", "uncased"])
def checker(request: pytest.FixtureRequest, reference_words: Words) -> Checker:
    """With every character both as a word and as a piece, so that nothing hides behind [UNK]."""
    tokens = [*SPECIAL, *WRITABLE, *(f"##{char}" for char in WRITABLE), "the", "##ing", "##ss", "un", "una"]
    return Checker(list(dict.fromkeys(tokens)), reference_words, request.param)


def test_every_kind_of_character_between_letters(checker: Checker) -> None:
    checker.check([f"x{char}y" for char in CHARACTERS])


@pytest.mark.slow
def test_every_character_between_letters(checker: Checker) -> None:
    for start in range(0, 0x110000, 0x10000):
        checker.check([f"x{chr(code)}y" for code in range(start, start + 0x10000)])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_text(checker: Checker, any_text: st.SearchStrategy[str], data: st.DataObject) -> None:
    checker.check(data.draw(st.lists(any_text, max_size=6)))


def test_every_pair_of_special_characters(checker: Checker) -> None:
    chars = " .-'[#aé漢\u0301\u0903\u200d\u2028\ufffd\x00\x85\xadΣß。😀\ue000\U0010ffff\ud800"
    checker.check([f"{a}{b}" for a in chars for b in chars])
    checker.check([f"x{a}{b}y" for a in chars for b in chars])


@pytest.mark.parametrize("lower_case", [True, False])
def test_ids_are_those_of_tensorflow_text_on_english(lower_case: bool) -> None:
    """A real vocabulary and real prose, of ASCII alone: there, both follow the same rules."""
    import tensorflow as tf
    import tensorflow_text as tf_text

    vocabulary = (Path(__file__).parents[2] / "vocab" / "sample-uncased-8k.txt").read_bytes()
    tokens = vocabulary.decode().splitlines()
    kernel = tf_text.FastBertTokenizer(tokens, token_out_type=tf.int32, lower_case_nfd_strip_accents=lower_case)
    lines = [line for text in topics.values() for line in text.splitlines() if line.isascii()]
    ragged = kernel.tokenize(lines)
    batch = WordPieceTokenizer(vocabulary, lower_case=lower_case).encode(lines)
    assert len(batch.ids) > 100_000
    np.testing.assert_array_equal(batch.ids, ragged.flat_values)
    np.testing.assert_array_equal(batch.row_splits, ragged.row_splits)


@pytest.mark.parametrize("char", ["a", "é", "漢", "😀", "e\u0301", "\u0903", "한", "Σ"])
def test_words_of_more_than_200_characters_are_unknown(checker: Checker, char: str) -> None:
    texts = [char * n for n in (66, 67, 100, 199, 200, 201, 202, 300, 801)]
    checker.check(texts)
    checker.check([f"x {text}.y {text}" for text in texts])
    checker.check(["-".join([char * 150] * 3), "-" * 500, ("a." * 300)])


def test_two_hundred_letters_are_known_and_one_more_is_not(checker: Checker) -> None:
    known, unknown = rows(checker.tokenizer.encode(["ab" * 100, "ab" * 100 + "a"]))
    assert len(known) == 200
    assert unknown == [1]


TOKENS = st.text("ab#,. é漢\u0301", max_size=4).map(str.strip)
WEIRD = [
    "",
    "##",
    "###",
    "####",
    "a##",
    "##a##b",
    "a b",
    "a,b",
    "##,a",
    "[x]",
    "a\x00",
    "\x00",
    "é",
    "##\u0301",
    "##漢",
    "漢漢",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TOKENS | TOKENS.map("##{}".format) | st.sampled_from(WEIRD), max_size=12),
    st.lists(st.text("ab#,. é漢\u0301\x00", max_size=10), min_size=1, max_size=8),
    st.booleans(),
)
def test_any_vocabulary(reference_words: Words, tokens: list[str], texts: list[str], lower_case: bool) -> None:
    """Entries that no word spells are never met, and disturb no other."""
    tokens = list(dict.fromkeys([*SPECIAL, *map(str.strip, tokens), "b"]))
    Checker(tokens, reference_words, lower_case).check(texts)


@pytest.fixture(scope="module")
def small(vocabulary: bytes) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary)


def tokens_of(tokenizer: WordPieceTokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[i] for i in tokenizer.encode([text]).ids]


def test_text_never_gives_a_special_token(small: WordPieceTokenizer) -> None:
    for name in ("mask", "cls", "sep", "pad", "unused0"):
        assert tokens_of(small, f"a [{name.upper()}] b")[1] == "["
    ids = small.encode(["[MASK] [CLS][SEP] [PAD] [mask] [ MASK ]", "[MASK]"]).ids
    assert not set(ids.tolist()) & {small.special_ids[name] for name in ("pad", "cls", "sep", "mask")}


def test_pieces(small: WordPieceTokenizer) -> None:
    assert tokens_of(small, "The captain's ships, reaching!") == [
        *["the", "captain", "'", "s", "s", "##h", "##i", "##p", "##s", ","],
        *["r", "##e", "##a", "##c", "##h", "##ing", "!"],
    ]
    assert tokens_of(small, "naïve 漢 x") == ["n", "##a", "##i", "##v", "##e", "[UNK]", "x"]


def test_no_sentences_and_empty_ones(small: WordPieceTokenizer) -> None:
    assert rows(small.encode([])) == []
    assert rows(small.encode(["", " \n", "\x00", "a", ""])) == [[], [], [], [small.tokens.index("a")], []]


def test_batches_do_not_show(small: WordPieceTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A word.", "", "漢字", "a" * 201, "ΑΣ", "the river", "\u2028x"] * 3
    whole = rows(small.encode(texts))
    monkeypatch.setattr(wordpiece, "_MOST_CHUNKS", 2)  # Forgotten before every call but the first.
    assert rows(small.encode(texts)) == whole
    assert [rows(small.encode([text]))[0] for text in texts] == whole


def test_what_is_known_of_the_vocabulary() -> None:
    tokens = ["a", "[unused0]", "##b", "[MASK]", "[PAD]", "[UNK]", "[SEP]", "[CLS]", "#", "[unused12]", "unused"]
    tokenizer = WordPieceTokenizer(as_file(tokens))
    assert tokenizer.vocab_size == 11
    assert list(tokenizer.tokens) == tokens
    assert tokenizer.special_ids == {"mask": 3, "pad": 4, "unk": 5, "sep": 6, "cls": 7}
    assert tokenizer.ordinary_ids.tolist() == [0, 2, 8, 10]
    assert tokenizer.ordinary_ids.dtype == np.int32
    assert tokenizer.word_boundaries.find(np.arange(tokenizer.vocab_size)).tolist() == [True, True, False, *[True] * 8]


def test_an_empty_entry_is_no_random_replacement() -> None:
    tokenizer = WordPieceTokenizer(as_file([*SPECIAL, "a", "", "b"]))
    assert tokenizer.vocab_size == 8
    assert tokenizer.ordinary_ids.tolist() == [5, 7]


@pytest.mark.parametrize(
    ("tokens", "lower"),
    [(["a", "ß", "漢"], True), (["a", "B"], False), (["a", "##É"], False), (["a", "##é"], False), (["1", "."], False)],
)
def test_case_is_that_of_the_vocabulary(tokens: list[str], lower: bool) -> None:
    data = as_file([*SPECIAL, "[unused1]", *tokens])
    assert WordPieceTokenizer(data).lower_case is lower
    assert WordPieceTokenizer(data, lower_case=not lower).lower_case is not lower


def test_a_vocabulary_of_nothing_else_is_refused() -> None:
    with pytest.raises(VocabularyError, match="v must contain more than special and unused tokens"):
        WordPieceTokenizer(as_file([*SPECIAL, "[unused0]"]), name="v")


def test_decoding(small: WordPieceTokenizer) -> None:
    text = "the captain answers , and the mountain follows ."
    assert small.decode(small.encode([text]).ids.tolist()) == text
    assert small.decode([2, small.tokens.index("river"), 4, 3]) == "[CLS] river [MASK] [SEP]"
    assert small.decode([]) == ""


def test_described_and_made_again(
    small: WordPieceTokenizer, vocabulary: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("corpus")
    description = small.describe()
    assert description.sha256 == hashlib.sha256(vocabulary).hexdigest()
    assert (description.kind, description.vocab_size, description.lower_case) == ("wordpiece", small.vocab_size, True)
    with pytest.raises(VocabularyError, match="There must be a vocabulary"):
        load_tokenizer(description, str(directory))
    write_atomically(str(directory / "vocab.txt"), vocabulary)
    again = load_tokenizer(description, str(directory))
    assert again.describe() == description
    assert rows(again.encode(["The river."])) == rows(small.encode(["The river."]))
    write_atomically(str(directory / "vocab.txt"), vocabulary + b"more\n")
    with pytest.raises(CorpusError, match="must be the vocabulary that the corpus was made with"):
        load_tokenizer(description, str(directory))


def test_a_forced_case_is_kept(vocabulary: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("corpus")
    write_atomically(str(directory / "vocab.txt"), vocabulary)
    cased = WordPieceTokenizer(vocabulary, lower_case=False)
    again = load_tokenizer(cased.describe(), str(directory))
    assert rows(again.encode(["The river"])) == rows(cased.encode(["The river"]))
    assert rows(again.encode(["The river"]))[0][0] == 1  # "The" has a capital that the vocabulary has not.


def test_threads_that_share_a_tokenizer_get_the_ids_that_one_gets(vocabulary: bytes) -> None:
    """As the workers of many runners do: each thread meets chunks that the others are learning."""
    draw = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyzéß -'."
    texts = [["".join(draw.choices(letters, k=60)) for _ in range(40)] for _ in range(64)]
    expected = [WordPieceTokenizer(vocabulary).encode(text) for text in texts]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            tokenizer = WordPieceTokenizer(vocabulary)
            with ThreadPoolExecutor(8) as pool:
                for found, (ids, row_splits) in zip(pool.map(tokenizer.encode, texts), expected, strict=True):
                    np.testing.assert_array_equal(found.ids, ids)
                    np.testing.assert_array_equal(found.row_splits, row_splits)
    finally:
        sys.setswitchinterval(interval)
