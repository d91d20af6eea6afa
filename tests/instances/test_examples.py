from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.instances.examples import make_examples
from pipeline.instances.instances import Instances, TokenizedDocuments
from pipeline.instances.pairings import PAIRINGS, has_pairs, make_instances
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
    return make_instances(
        documents,
        pairing=pairing,
        max_seq_length=S,
        short_seq_prob=0.1,
        copies=1,
        sep_id=tokenizer.special_ids["sep"],
        generator=lambda copy: generator(5, "pairs", copy),
        counts=Counter(),
    )


def examples_of(
    token_ids: np.ndarray, instances: Instances, spec: RecordSpec, tokenizer: WordPieceTokenizer, **rates: float
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    counts: Counter[str] = Counter()
    policy = MaskingPolicy(P, **rates)  # type: ignore[arg-type]
    columns = make_examples(
        token_ids, instances, spec=spec, policy=policy, tokenizer=tokenizer, rng=generator(6, "mask"), counts=counts
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
