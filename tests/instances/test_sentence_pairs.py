from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances import sentence_pairs
from pipeline.instances.instances import Instances, TokenizedDocuments
from pipeline.instances.sentence_pairs import make_next_sentence_pairs, make_sentence_order_pairs
from pipeline.seeding import generator

Make = Callable[[list[list[int]]], TokenizedDocuments]
DOCUMENTS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=8), max_size=6)
ROOM = 40
BOTH = pytest.mark.parametrize("make_pairs", [make_next_sentence_pairs, make_sentence_order_pairs])


def pairs_of(
    documents: TokenizedDocuments,
    room: int = ROOM,
    short: float = 0.1,
    seed: int = 1,
    make_pairs: Callable[..., Instances] = make_next_sentence_pairs,
) -> tuple[Instances, Counter[str]]:
    counts: Counter[str] = Counter()
    rng = generator(seed, "pairs")
    return make_pairs(documents, room=room, short_seq_prob=short, rng=rng, counts=counts), counts


def document_of(documents: TokenizedDocuments, token: np.ndarray) -> np.ndarray:
    """The documents that tokens stand in."""
    ends = documents.sentence_splits[documents.document_splits[1:]]
    return np.searchsorted(ends, token, side="right")


# === What holds of every instance ===


@BOTH
@given(DOCUMENTS, st.integers(2, 60), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9))
def test_segments_are_contiguous_and_within_a_document(
    make_documents: Make,
    make_pairs: Callable[..., Instances],
    lengths: list[list[int]],
    room: int,
    short: float,
    seed: int,
) -> None:
    documents = make_documents(lengths)
    pairs, _ = pairs_of(documents, room, short, seed, make_pairs)
    assert (pairs.a_length >= 1).all()
    assert (pairs.b_length >= 1).all()
    assert (pairs.a_length + pairs.b_length <= room).all()
    assert set(pairs.label.tolist()) <= {0, 1}
    a_document, b_document = document_of(documents, pairs.a_start), document_of(documents, pairs.b_start)
    assert (document_of(documents, pairs.a_start + pairs.a_length - 1) == a_document).all()
    assert (document_of(documents, pairs.b_start + pairs.b_length - 1) == b_document).all()
    if make_pairs is make_next_sentence_pairs:
        is_random = pairs.label == 1
        assert (b_document[~is_random] == a_document[~is_random]).all()
        assert (pairs.b_start >= pairs.a_start + pairs.a_length)[~is_random].all()
        if len(lengths) > 1:
            assert (b_document[is_random] != a_document[is_random]).all()
    else:
        assert (b_document == a_document).all()
        assert ((pairs.b_start < pairs.a_start) == (pairs.label == 1)).all()


@BOTH
def test_the_seed_decides_all(
    make_documents: Make, lengths: list[list[int]], make_pairs: Callable[..., Instances]
) -> None:
    documents = make_documents(lengths)
    first, again, other = (pairs_of(documents, seed=seed, make_pairs=make_pairs)[0] for seed in (1, 1, 2))
    assert [column.tolist() for column in vars(first).values()] == [c.tolist() for c in vars(again).values()]
    assert first.a_start.tolist() != other.a_start.tolist()


@BOTH
def test_no_document_is_no_instance(make_documents: Make, make_pairs: Callable[..., Instances]) -> None:
    pairs, counts = pairs_of(make_documents([]), make_pairs=make_pairs)
    assert len(pairs) == 0
    assert not +counts


def without_truncation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sentence_pairs, "_truncate", lambda pairs, room, rng, counts: pairs)


# === Next sentences ===


@given(DOCUMENTS, st.integers(2, 60), st.integers(0, 9))
def test_every_sentence_is_in_one_a_or_true_b(
    make_documents: Make, lengths: list[list[int]], room: int, seed: int
) -> None:
    """Before truncation: random B's put the sentences back that they replace."""
    documents = make_documents(lengths)
    with pytest.MonkeyPatch.context() as patch:
        without_truncation(patch)
        pairs, _ = pairs_of(documents, room, 0.2, seed)
    tokens: list[int] = []
    for a, a_length, b, b_length, label in zip(*(vars(pairs)[name].tolist() for name in vars(pairs)), strict=True):
        tokens += range(a, a + a_length)
        if not label:
            assert b == a + a_length  # B follows A.
            tokens += range(b, b + b_length)
        for end in (a, a + a_length, b, b + b_length):
            assert end in documents.sentence_splits  # Segments hold whole sentences.
    assert tokens == list(range(len(documents.ids)))


@BOTH
def test_for_packing_the_pairs_of_a_document_are_cut_one_by_one(
    make_documents: Make, make_pairs: Callable[..., Instances]
) -> None:
    documents = make_documents([[1] * 40_000])

    def lengths(*, for_packing: bool, seed: int) -> np.ndarray:
        rng = generator(seed, "pairs")
        pairs = make_pairs(documents, room=ROOM, short_seq_prob=0.3, for_packing=for_packing, rng=rng, counts=Counter())
        return pairs.a_length + pairs.b_length

    for seed in range(4):
        # But for pairs whose random B ends with the document.
        assert np.bincount(lengths(for_packing=False, seed=seed)[:500]).max() >= 490
        drawn = lengths(for_packing=True, seed=seed)[:500]
        assert abs((drawn < ROOM).mean() - 0.3 * 38 / 39) < 5 * np.sqrt(0.3 * 0.7 / 500)
        assert len(np.unique(drawn)) > 30


def test_short_targets_are_evenly_drawn(make_documents: Make) -> None:
    """With sentences of one token, the longest pair of a document is its target: 2 to ROOM, as rng.randint there."""
    documents = make_documents([[1] * 100] * 4000)
    for short, share in ((1.0, 1.0), (0.1, 0.1)):
        pairs, _ = pairs_of(documents, short=short)
        targets = np.zeros(4000, np.int64)
        np.maximum.at(targets, document_of(documents, pairs.a_start), pairs.a_length + pairs.b_length)
        counts = np.bincount(targets, minlength=ROOM + 1)[2:]
        assert counts.sum() == 4000
        mean = 4000 * share / (ROOM - 1)
        assert (np.abs(counts[:-1] - mean) < 5 * np.sqrt(mean)).all()
        assert abs(counts[-1] - mean - 4000 * (1 - share)) < 5 * np.sqrt(mean + 4000 * share * (1 - share))


def test_nothing_is_lost_where_nothing_need_be_cut(make_documents: Make) -> None:
    """With sentences of one token every length is met exactly."""
    documents = make_documents([[1] * 300, [1] * 41, [1] * 77])
    pairs, counts = pairs_of(documents, short=0)
    true = pairs.take(pairs.label == 0)
    assert counts["tokens_truncated"] == 0
    assert pairs.a_length.sum() + true.b_length.sum() == 418
    assert (true.a_length + true.b_length == ROOM).sum() >= len(true) - 3  # But at the ends of documents.


def test_a_document_of_one_sentence_has_a_random_next(make_documents: Make) -> None:
    documents = make_documents([[5], [7], [60]])
    for seed in range(20):
        pairs, counts = pairs_of(documents, short=0, seed=seed)
        assert pairs.label.tolist() == [1, 1, 1]
        assert document_of(documents, pairs.a_start).tolist() == [0, 1, 2]
        assert counts["pairs_within_document"] == 0


def test_the_only_document_pairs_with_itself_and_says_so(make_documents: Make) -> None:
    pairs, counts = pairs_of(make_documents([[9] * 200]))
    assert counts["pairs_within_document"] == (pairs.label == 1).sum() > 10
    assert (pairs.label == 0).sum() > 10
    pairs, counts = pairs_of(make_documents([[3]]))
    assert (pairs.a_start.tolist(), pairs.b_start.tolist(), pairs.label.tolist()) == ([0], [0], [1])
    assert counts == {"pairs_forced_random": 1, "pairs_within_document": 1, "tokens_truncated": 0}


def bert_instances(
    lengths: list[list[int]], room: int, short: float, rng: np.random.Generator
) -> list[tuple[int, int, int, bool, int]]:
    """google-research/bert's create_instances_from_document, one sentence after the other, in lengths alone.

    Returns:
        Of each instance the sentences and tokens of A, the tokens of B, whether B is random, and the tokens cut off.
    """
    instances = []
    for number, document in enumerate(lengths):
        target = int(rng.integers(2, room + 1)) if rng.random() < short else room
        chunk: list[int] = []
        index = 0
        while index < len(document):
            chunk.append(document[index])
            if index == len(document) - 1 or sum(chunk) >= target:
                a_end = int(rng.integers(1, len(chunk))) if len(chunk) >= 2 else 1
                a = sum(chunk[:a_end])
                is_random = len(chunk) == 1 or rng.random() < 0.5
                if is_random:
                    other = number
                    while other == number:
                        other = int(rng.integers(len(lengths)))
                    b = 0
                    for length in lengths[other][int(rng.integers(len(lengths[other]))) :]:
                        b += length
                        if b >= target - a:
                            break
                    index -= len(chunk) - a_end
                else:
                    b = sum(chunk[a_end:])
                a_left, b_left = truncate_one_by_one(a, b, room)
                instances.append((a_end, a_left, b_left, is_random, a + b - a_left - b_left))
                chunk = []
            index += 1
    return instances


def truncate_one_by_one(a: int, b: int, room: int) -> tuple[int, int]:
    """truncate_seq_pair: the longer gives a token, B where they are alike."""
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


def features(columns: list[np.ndarray], room: int) -> list[float]:
    """Of one copy's instances: what is compared."""
    a, b, is_random, cut = columns
    return [
        len(a),
        is_random.mean(),
        a.mean(),
        b.mean(),
        a[is_random].mean(),
        b[is_random].mean(),
        b[~is_random].mean(),
        (a * b).mean(),
        (a + b == room).mean(),
        (a < b).mean(),
        (a <= 5).mean(),
        (b <= 5).mean(),
        cut,
    ]


@pytest.mark.parametrize("short", [0.0, 0.1, 1.0])
def test_instances_are_distributed_as_berts(make_documents: Make, lengths: list[list[int]], short: float) -> None:
    """Means over 300 copies each, within five sigma of their difference."""
    documents, rng = make_documents(lengths), np.random.default_rng(3)
    found, expected = [], []
    for copy in range(300):
        pairs, counts = pairs_of(documents, short=short, seed=copy)
        columns = [pairs.a_length, pairs.b_length, pairs.label == 1, counts["tokens_truncated"]]
        found.append(features(columns, ROOM))
        _, a, b, is_random, cut = map(np.array, zip(*bert_instances(lengths, ROOM, short, rng), strict=True))
        expected.append(features([a, b, is_random, cut.sum()], ROOM))
    ours, theirs = np.array(found), np.array(expected)
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 300)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 5 * error).all()
    assert (error < 0.02 * np.abs(theirs.mean(axis=0)) + 0.01).all()  # The comparison is sharp.


def test_random_nexts_come_evenly_from_the_other_documents(make_documents: Make) -> None:
    documents = make_documents([[4] * 5, [4] * 20, [4] * 1, [4] * 50])
    found: Counter[tuple[int, int]] = Counter()
    starts: Counter[int] = Counter()
    for seed in range(400):
        pairs, _ = pairs_of(documents, room=9, short=0, seed=seed)
        pairs = pairs.take(pairs.label == 1)
        b_document = document_of(documents, pairs.b_start)
        found.update(zip(document_of(documents, pairs.a_start).tolist(), b_document.tolist(), strict=True))
        starts.update((pairs.b_start[b_document == 1] // 4 - 5).tolist())
    for a in range(4):
        others = [found[a, b] for b in range(4) if b != a]
        mean = sum(others) / 3
        assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in others)
    mean = sum(starts.values()) / 20
    assert sorted(starts) == list(range(20))
    assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in starts.values())


# === Truncation ===


@given(st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1, max_size=20), st.integers(2, 60))
def test_truncation_takes_what_the_loop_takes(pairs: list[tuple[int, int]], room: int) -> None:
    a, b = np.array(pairs).T
    start = np.full(len(pairs), 1000)
    counts: Counter[str] = Counter()
    whole = Instances(start, a, start + 500, b, start)
    cut = sentence_pairs._truncate(whole, room, np.random.default_rng(0), counts)
    assert list(zip(cut.a_length.tolist(), cut.b_length.tolist(), strict=True)) == [
        truncate_one_by_one(*pair, room) for pair in pairs
    ]
    for before, after, before_length, after_length in (
        (whole.a_start, cut.a_start, whole.a_length, cut.a_length),
        (whole.b_start, cut.b_start, whole.b_length, cut.b_length),
    ):
        assert (after >= before).all()
        assert (after + after_length <= before + before_length).all()
    assert counts["tokens_truncated"] == sum(max(0, sum(pair) - room) for pair in pairs)


@pytest.mark.parametrize("longer", ["a", "b"])
def test_truncation_takes_from_both_ends_with_equal_probability(longer: str) -> None:
    start = np.zeros(20_000, np.int64)
    a, b = (30, 10) if longer == "a" else (10, 30)
    cut = sentence_pairs._truncate(
        Instances(start, start + a, start, start + b, start), 24, np.random.default_rng(0), Counter()
    )
    long_start, short_start = (cut.a_start, cut.b_start) if longer == "a" else (cut.b_start, cut.a_start)
    # Sixteen tokens, each from the front with probability 1/2: mean 8, variance 4.
    assert abs(long_start.mean() - 8) < 5 * np.sqrt(4 / 20_000)
    assert abs(long_start.var() - 4) < 0.25
    assert not short_start.any()


# === Sentence order ===


@given(DOCUMENTS, st.integers(2, 60), st.integers(0, 9))
def test_order_pairs_hold_every_token_once(
    make_documents: Make, lengths: list[list[int]], room: int, seed: int
) -> None:
    """Before truncation; but for single tokens that are left alone."""
    documents = make_documents(lengths)
    with pytest.MonkeyPatch.context() as patch:
        without_truncation(patch)
        pairs, counts = pairs_of(documents, room, 0.2, seed, make_sentence_order_pairs)
    first, second = (
        np.where(pairs.label == 1, swapped, straight)
        for straight, swapped in ((pairs.a_start, pairs.b_start), (pairs.b_start, pairs.a_start))
    )
    first_length = np.where(pairs.label == 1, pairs.b_length, pairs.a_length)
    second_length = np.where(pairs.label == 1, pairs.a_length, pairs.b_length)
    assert (first + first_length == second).all()
    tokens = [t for a, b in zip(first, second + second_length, strict=True) for t in range(a, b)]
    missing = set(range(len(documents.ids))) - set(tokens)
    assert len(tokens) + len(missing) == len(documents.ids)
    assert len(missing) == counts["tokens_dropped_alone"]


def test_half_of_the_order_pairs_are_swapped(make_documents: Make) -> None:
    pairs, _ = pairs_of(make_documents([[4] * 40_000]), make_pairs=make_sentence_order_pairs)
    assert len(pairs) > 3000
    assert abs(pairs.label.mean() - 0.5) < 5 * np.sqrt(0.25 / len(pairs))


def test_a_lone_sentence_is_cut_in_two(make_documents: Make) -> None:
    for seed in range(30):
        pairs, counts = pairs_of(make_documents([[6], [1]]), seed=seed, make_pairs=make_sentence_order_pairs)
        assert len(pairs) == 1
        assert pairs.a_length[0] + pairs.b_length[0] == 6
        assert counts["tokens_dropped_alone"] == 1
