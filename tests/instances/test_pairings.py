from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.instances.instances import Instances, TokenizedDocuments, concatenate
from pipeline.instances.pairings import PAIRINGS, has_pairs, make_instances, special_tokens
from pipeline.seeding import generator

Make = Callable[[list[list[int]]], TokenizedDocuments]
ALL = pytest.mark.parametrize("pairing", list(PAIRINGS))
SEP = -7


def make(
    documents: TokenizedDocuments, pairing: str, copies: int = 1, for_packing: bool = False
) -> tuple[np.ndarray, Instances, Counter[str]]:
    counts: Counter[str] = Counter()
    ids, found = make_instances(
        documents,
        pairing=pairing,
        max_seq_length=43,
        short_seq_prob=0.1,
        copies=copies,
        for_packing=for_packing,
        sep_id=SEP,
        generator=lambda copy: generator(5, "pairs", copy),
        counts=counts,
    )
    assert len(found) == copies
    return ids, concatenate(found), counts


@ALL
def test_examples_fit_and_tokens_are_in_range(make_documents: Make, lengths: list[list[int]], pairing: str) -> None:
    ids, instances, _ = make(make_documents(lengths), pairing)
    assert (instances.a_length + instances.b_length + special_tokens(pairing) <= 43).all()
    assert (instances.a_length >= 1).all()
    assert ((instances.b_length > 0) == has_pairs(pairing)).all()
    assert (instances.a_start + instances.a_length <= len(ids)).all()
    assert (instances.b_start + instances.b_length <= len(ids)).all()
    assert (SEP in ids) == (pairing == "full-sentences")


@ALL
def test_copies_follow_one_another(make_documents: Make, lengths: list[list[int]], pairing: str) -> None:
    documents = make_documents(lengths)
    _, one, _ = make(documents, pairing)
    _, three, _ = make(documents, pairing, copies=3)
    assert three.a_start[: len(one)].tolist() == one.a_start.tolist()
    rest = three.a_start[len(one) : 2 * len(one)].tolist()
    assert (rest == one.a_start.tolist()) != has_pairs(pairing)  # Pairs are drawn anew; packing has nothing to draw.


@pytest.mark.parametrize("pairing", ["full-sentences", "doc-sentences"])
def test_instances_are_full_if_sentences_may_be_cut(
    make_documents: Make, lengths: list[list[int]], pairing: str
) -> None:
    documents = make_documents(lengths)
    _, whole, _ = make(documents, pairing)
    ids, cut, _ = make(documents, pairing, for_packing=True)
    # But for the last of each document, or for a [SEP] that is left out at either end.
    short = (cut.a_length < 41).sum()
    assert short <= (documents.documents if pairing == "doc-sentences" else 1 + 2 * (cut.a_length >= 39).sum())
    assert (cut.a_length < 39).sum() <= short
    assert len(cut) < len(whole)
    tokens = [ids[a : a + n] for a, n in zip(cut.a_start, cut.a_length, strict=True)]
    kept = np.concatenate(tokens)
    assert kept[kept != SEP].tolist() == documents.ids.tolist()


@ALL
def test_no_document_is_no_instance(make_documents: Make, pairing: str) -> None:
    ids, instances, counts = make(make_documents([]), pairing, copies=2)
    assert len(ids) == len(instances) == 0
    assert not +counts


def test_special_tokens() -> None:
    assert [special_tokens(pairing) for pairing in PAIRINGS] == [3, 3, 2, 2, 2]
