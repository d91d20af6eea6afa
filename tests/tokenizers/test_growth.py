import pytest

from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.growth import differences, growth
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

OLD = [*SPECIAL_TOKENS, "[unused0]", "[unused1]", "a", "b", "##b", "##ab", "the"]


def tokenizer(tokens: list[str]) -> WordPieceTokenizer:
    return WordPieceTokenizer("\n".join(tokens).encode(), lower_case=True)


def test_new_entries_are_cut_as_they_were() -> None:
    new = [*SPECIAL_TOKENS, "[unused0]", "abab", *OLD[7:], "##bb", "theb", "ψ", "[URL]"]
    assert differences(tokenizer(OLD), tokenizer(new)) == []
    found = growth(tokenizer(OLD), tokenizer(new))
    assert found is not None
    assert (found.size, found.old_size, found.in_unused) == (16, 12, 1)
    assert [new[index] for index in found.new_ids] == ["abab", "##bb", "theb", "ψ", "[URL]"]
    pieces = [
        [OLD[piece] for piece in found.pieces[start:end]]
        for start, end in zip(found.row_splits[:-1], found.row_splits[1:], strict=True)
    ]
    assert pieces == [["a", "##b", "##ab"], ["##b", "##b"], ["the", "##b"], [], []]


def test_the_same_vocabulary_has_not_grown() -> None:
    assert differences(tokenizer(OLD), tokenizer(OLD)) == []
    assert growth(tokenizer(OLD), tokenizer(OLD)) is None


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ([*OLD[:7], "b", "a", *OLD[9:]], ["'b' instead of 'a' (id 7)", "'a' instead of 'b' (id 8)"]),
        (OLD[:-1], ["nothing instead of 'the' (id 11)"]),
        ([*OLD[:5], "the", *OLD[6:11], "x"], ["'the' instead of '[unused0]' (id 5)", "'x' instead of 'the' (id 11)"]),
        ([*OLD[:7], "c", *OLD[8:]], ["'c' instead of 'a' (id 7)"]),
    ],
)
def test_a_vocabulary_that_is_reordered_or_unrelated_differs(new: list[str], found: list[str]) -> None:
    assert differences(tokenizer(OLD), tokenizer(new)) == found


def test_a_tokenizer_file_with_added_tokens(tmp_path: object) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    symbols = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocab = {token: index for index, token in enumerate([*special, *symbols, "he", "Ġhe"])}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [("h", "e"), ("Ġ", "he")], unk_token="<unk>"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    library.add_special_tokens(special)
    old = make_tokenizer(library.to_str().encode())
    library.add_tokens(["heh"])
    new = make_tokenizer(library.to_str().encode())
    assert differences(old, new) == []
    found = growth(old, new)
    assert found is not None
    assert [old.tokens[piece] for piece in found.pieces] == ["he", "h"]
    assert differences(new, old) == [f"nothing instead of 'heh' (id {len(vocab)})"]
