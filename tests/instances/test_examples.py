from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.instances.examples import make_examples
from pipeline.instances.instances import Instances, TokenizedDocuments
from pipeline.instances.pairings import PAIRINGS, has_pairs, make_instances, special_tokens
from pipeline.instances.rows import Rows, pack
from pipeline.masking import MaskingPolicy
from pipeline.records.spec import RecordSpec
from pipeline.seeding import generator
from pipeline.tokenizers import WordPieceTokenizer

S, P = 24, 5
ALL = pytest.mark.parametrize("pairing", list(PAIRINGS))


@pytest.fixture(scope="module")
def tokenizer(vocabulary: bytes) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary)


@pytest.fixture(scope="module")
def documents(
    make_documents: Callable[..., TokenizedDocuments], lengths: list[list[int]], tokenizer: WordPieceTokenizer
):
    """Documents of ordinary tokens and unknown ones."""
    made = make_documents(lengths)
    ids = np.random.default_rng(2).choice([*tokenizer.ordinary_ids, tokenizer.special_ids["unk"]], len(made.ids))
    return made._replace(ids=ids.astype(np.int32))


def instances_of(
    documents: TokenizedDocuments, pairing: str, tokenizer: WordPieceTokenizer
) -> tuple[np.ndarray, Instances]:
    token_ids, (instances,) = make_instances(
        documents,
        pairing=pairing,
        max_seq_length=S,
        short_seq_prob=0.1,
        copies=1,
        sep_id=tokenizer.special_ids["sep"],
        generator=lambda copy: generator(5, "pairs", copy),
        counts=Counter(),
    )
    return token_ids, instances


def examples_of(
    token_ids: np.ndarray, rows: Rows | Instances, spec: RecordSpec, tokenizer: WordPieceTokenizer, **policy: Any
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    counts: Counter[str] = Counter()
    columns = make_examples(
        token_ids,
        rows if isinstance(rows, Rows) else Rows.one_each(rows),
        spec=spec,
        policy=MaskingPolicy(spec.max_predictions_per_seq, **policy),
        tokenizer=tokenizer,
        rng=generator(6, "mask"),
        counts=counts,
    )
    return columns, counts


def lay_out_one_by_one(
    token_ids: np.ndarray, instances: Instances, pairing: str, special: dict[str, int]
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """The ids, mask and type ids of the record contract, an example after the other."""
    ids, masks, types = [], [], []
    for row in range(len(instances)):
        a_start, b_start = int(instances.a_start[row]), int(instances.b_start[row])
        a = token_ids[a_start : a_start + int(instances.a_length[row])].tolist()
        b = token_ids[b_start : b_start + int(instances.b_length[row])].tolist()
        example = [special["cls"], *a, special["sep"]]
        kind = [0] * len(example)
        if has_pairs(pairing):
            example += [*b, special["sep"]]
            kind += [1] * (len(b) + 1)
        padding = S - len(example)
        ids.append(example + [special["pad"]] * padding)
        masks.append([1] * len(example) + [0] * padding)
        types.append(kind + [0] * padding)
    return ids, masks, types


@ALL
def test_layout(documents: TokenizedDocuments, tokenizer: WordPieceTokenizer, pairing: str) -> None:
    token_ids, instances = instances_of(documents, pairing, tokenizer)
    spec = RecordSpec(S, P, next_sentence=has_pairs(pairing))
    columns, counts = examples_of(token_ids, instances, spec, tokenizer)
    ids, masks, types = lay_out_one_by_one(token_ids, instances, pairing, dict(tokenizer.special_ids))
    unmasked = columns["input_word_ids"].copy()
    rows, places = np.nonzero(columns["masked_lm_weights"])
    unmasked[rows, columns["masked_lm_positions"][rows, places]] = columns["masked_lm_ids"][rows, places]
    assert unmasked.tolist() == ids
    assert columns["input_mask"].tolist() == masks
    assert columns["input_type_ids"].tolist() == types
    assert columns.keys() == {feature.name for feature in spec.features}
    for feature in spec.features:
        assert columns[feature.name].shape == (len(instances), feature.length)
    if has_pairs(pairing):
        assert columns["next_sentence_labels"][:, 0].tolist() == instances.label.tolist()
    # No special token is ever predicted: neither those around the segments nor those between packed documents.
    special = {tokenizer.special_ids[name] for name in ("pad", "cls", "sep", "mask")}
    assert not special & set(columns["masked_lm_ids"][rows, places].tolist())
    assert counts["examples"] == len(instances)
    assert counts["tokens"] == sum(map(sum, masks))
    assert counts["unknown_tokens"] == sum(example.count(tokenizer.special_ids["unk"]) for example in ids)
    assert counts["predictions"] == len(rows)
    assert counts["label_1"] == instances.label.sum()
    assert counts["replaced_by_mask"] == (columns["input_word_ids"] == tokenizer.special_ids["mask"]).sum()


@ALL
def test_number_of_predictions_counts_special_tokens(
    documents: TokenizedDocuments, tokenizer: WordPieceTokenizer, pairing: str
) -> None:
    token_ids, instances = instances_of(documents, pairing, tokenizer)
    spec = RecordSpec(S, P, next_sentence=has_pairs(pairing))
    columns, _ = examples_of(token_ids, instances, spec, tokenizer, masked_lm_prob=0.3)
    for example, mask, weights in zip(
        columns["input_word_ids"], columns["input_mask"], columns["masked_lm_weights"], strict=True
    ):
        special = np.isin(example, [tokenizer.special_ids[name] for name in ("cls", "sep")]).sum()
        length = int(mask.sum())
        assert weights.sum() == min(P, max(1, round(length * 0.3)), length - special)


@ALL
def test_unmasked_examples(documents: TokenizedDocuments, tokenizer: WordPieceTokenizer, pairing: str) -> None:
    token_ids, instances = instances_of(documents, pairing, tokenizer)
    spec = RecordSpec(S, P, next_sentence=has_pairs(pairing), masked=False)
    columns, counts = examples_of(token_ids, instances, spec, tokenizer)
    ids, masks, types = lay_out_one_by_one(token_ids, instances, pairing, dict(tokenizer.special_ids))
    assert columns["input_word_ids"].tolist() == ids
    assert columns["input_type_ids"].tolist() == types
    assert columns.keys() == {feature.name for feature in spec.features}
    special = {tokenizer.special_ids[name] for name in ("pad", "cls", "sep")}
    assert columns["word_starts"].tolist() == [
        [int(token not in special and not tokenizer.tokens[token].startswith("##")) for token in example]
        for example in ids
    ]
    assert counts["tokens"] == sum(map(sum, masks))
    assert "predictions" not in counts


def test_no_instances(documents: TokenizedDocuments, tokenizer: WordPieceTokenizer) -> None:
    columns, counts = examples_of(documents.ids, Instances.none(), RecordSpec(S, P), tokenizer)
    assert {len(column) for column in columns.values()} == {0}
    assert not +counts


# === Packed rows ===

Q = 6


def packed_rows(instances: Instances, pairing: str) -> Rows:
    return pack(
        [instances],
        special_tokens=special_tokens(pairing),
        row_length=2 * S,
        max_sequences=Q,
        rng=generator(7, "shuffle"),
    )


@pytest.mark.parametrize("masked", [True, False])
@ALL
def test_packed_rows_are_their_sequences_behind_one_another(
    documents: TokenizedDocuments, tokenizer: WordPieceTokenizer, pairing: str, masked: bool
) -> None:
    token_ids, instances = instances_of(documents, pairing, tokenizer)
    rows = packed_rows(instances, pairing)
    spec = RecordSpec(2 * S, P, next_sentence=has_pairs(pairing), masked=masked, max_sequences_per_row=Q)
    columns, counts = examples_of(token_ids, rows, spec, tokenizer)
    assert columns.keys() == {feature.name for feature in spec.features}
    for feature in spec.features:
        assert columns[feature.name].shape == (len(rows), feature.length)
    unmasked = columns["input_word_ids"].copy()
    if masked:
        found, places = np.nonzero(columns["masked_lm_weights"])
        unmasked[found, columns["masked_lm_positions"][found, places]] = columns["masked_lm_ids"][found, places]
    ids, masks, types = lay_out_one_by_one(token_ids, rows.instances, pairing, dict(tokenizer.special_ids))
    pad = tokenizer.special_ids["pad"]
    for row in range(len(rows)):
        sequences = range(rows.splits[row], rows.splits[row + 1])
        lengths = [sum(masks[index]) for index in sequences]
        padding = 2 * S - sum(lengths)
        expected = [token for index, length in zip(sequences, lengths, strict=True) for token in ids[index][:length]]
        assert unmasked[row].tolist() == expected + [pad] * padding
        expected = [kind for index, length in zip(sequences, lengths, strict=True) for kind in types[index][:length]]
        assert columns["input_type_ids"][row].tolist() == expected + [0] * padding
        expected = [number for number, length in enumerate(lengths, 1) for _ in range(length)]
        assert columns["input_sequence_ids"][row].tolist() == expected + [0] * padding
        if masked:
            assert columns["input_mask"][row].tolist() == [1] * sum(lengths) + [0] * padding
        if has_pairs(pairing):
            nothing = [0] * (Q - len(lengths))
            begins = np.cumsum([0, *lengths[:-1]]).tolist()
            assert columns["next_sentence_positions"][row].tolist() == begins + nothing
            labels = rows.instances.label[rows.splits[row] : rows.splits[row + 1]].tolist()
            assert columns["next_sentence_labels"][row].tolist() == labels + nothing
            assert columns["next_sentence_weights"][row].tolist() == [1.0] * len(lengths) + nothing
    assert max(np.diff(rows.splits)) > 1
    assert (counts["examples"], counts["sequences"]) == (len(rows), len(instances))
    assert counts["tokens"] == sum(map(sum, masks))
    assert counts["label_1"] == instances.label.sum()


@pytest.mark.parametrize("unit", ["token", "word", "ngram", "span"])
def test_masks_are_drawn_on_the_whole_row_and_end_at_every_sequence(
    documents: TokenizedDocuments, tokenizer: WordPieceTokenizer, unit: str
) -> None:
    """A unit across a boundary would replace the tokens on both sides in one way."""
    token_ids, instances = instances_of(documents, "single-sentences", tokenizer)
    rows = packed_rows(instances, "single-sentences")
    spec = RecordSpec(2 * S, 2 * S, next_sentence=False, max_sequences_per_row=Q)
    columns, _ = examples_of(token_ids, rows, spec, tokenizer, unit=unit, masked_lm_prob=0.6, mask_prob=0.5)
    predicted = np.zeros((len(rows), 2 * S), bool)
    found, places = np.nonzero(columns["masked_lm_weights"])
    positions = columns["masked_lm_positions"][found, places]
    predicted[found, positions] = True
    is_mask = columns["input_word_ids"] == tokenizer.special_ids["mask"]
    special = [tokenizer.special_ids[name] for name in ("pad", "cls", "sep")]
    ordinary = ~np.isin(columns["input_word_ids"], special)
    assert not np.isin(columns["masked_lm_ids"][found, places], special).any()

    wanted = np.minimum(np.maximum(1, np.rint(columns["input_mask"].sum(axis=1) * 0.6)), ordinary.sum(axis=1))
    assert (predicted.sum(axis=1) <= wanted).all()
    assert predicted.sum() >= (1.0 if unit == "token" else 0.95) * wanted.sum()
    # The last token of a sequence and the first of the next, with [SEP] and [CLS] between them.
    sequence_ids = columns["input_sequence_ids"]
    row, last = np.nonzero((sequence_ids[:, 3:] == sequence_ids[:, :-3] + 1) & ordinary[:, :-3] & ordinary[:, 3:])
    both = predicted[row, last] & predicted[row, last + 3]
    agree = (is_mask[row, last] == is_mask[row, last + 3])[both]
    assert agree.size > 50
    assert abs(agree.mean() - 0.5) < 5 * np.sqrt(0.25 / agree.size)
