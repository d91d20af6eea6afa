"""The ways to cut documents into instances, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from pipeline.instances.instances import Instances, TokenizedDocuments
from pipeline.instances.packing import cut_long_sentences, fill, join_documents, pack_sentences, single_sentences
from pipeline.instances.sentence_pairs import make_next_sentence_pairs, make_sentence_order_pairs

PAIRINGS = {
    "next-sentence": "pairs of segments, the second random in half of them (Devlin et al., 2019, BERT)",
    "sentence-order": "pairs of consecutive segments, swapped in half of them (Lan et al., 2020, ALBERT)",
    "full-sentences": "sentences packed across documents, with [SEP] between documents (Liu et al., 2019, RoBERTa)",
    "doc-sentences": "sentences packed within a document (Liu et al., 2019, RoBERTa)",
    "single-sentences": "one sentence per example",
}


def has_pairs(pairing: str) -> bool:
    """Whether examples of a pairing have two segments and `next_sentence_labels`."""
    return pairing in ("next-sentence", "sentence-order")


def special_tokens(pairing: str) -> int:
    """Returns the number of special tokens around the segments of an example."""
    return 3 if has_pairs(pairing) else 2


def make_instances(
    documents: TokenizedDocuments,
    *,
    pairing: str,
    max_seq_length: int,
    short_seq_prob: float,
    copies: int,
    for_packing: bool = False,
    sep_id: int,
    generator: Callable[[int], np.random.Generator],
    counts: Counter[str],
) -> tuple[np.ndarray, list[Instances]]:
    """Makes all copies of the instances of a block's documents.

    Args:
        documents: the block's documents.
        pairing: a key of `PAIRINGS`.
        max_seq_length: S, including special tokens.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1]; for pairs only.
        copies: the number of copies.
        for_packing: whether rows are to be filled with the instances. "full-sentences" and "doc-sentences" then cut the
            sentence that does not fit, and pairs are cut to shorter lengths one by one, not by document.
        sep_id: the id of [SEP].
        generator: makes the generator of a copy.
        counts: incremented by the pairing functions.

    Returns:
        The tokens that the instances refer to, int32, and the instances of each copy.
    """
    room = max_seq_length - special_tokens(pairing)
    if has_pairs(pairing):
        make_pairs = make_next_sentence_pairs if pairing == "next-sentence" else make_sentence_order_pairs
        return documents.ids, [
            make_pairs(
                documents,
                room=room,
                short_seq_prob=short_seq_prob,
                for_packing=for_packing,
                rng=generator(copy),
                counts=counts,
            )
            for copy in range(copies)
        ]
    documents = cut_long_sentences(documents, room)
    if pairing == "full-sentences":
        documents = join_documents(documents, sep_id)
    if pairing == "single-sentences":
        instances = single_sentences(documents)
    else:
        instances = (fill if for_packing else pack_sentences)(documents, room, sep_id)
    return documents.ids, [instances] * copies
