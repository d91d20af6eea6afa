"""Examples with their special tokens in place, in numpy passes alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.instances.instances import Instances
from pipeline.records.spec import RecordSpec


def lay_out(
    token_ids: np.ndarray, instances: Instances, spec: RecordSpec, special: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, type ids, what is ordinary, and lengths, of rows of one instance each."""
    place = np.arange(spec.max_seq_length)
    rows = np.arange(len(instances))
    a_length = instances.a_length[:, np.newaxis]
    ordinary = (place >= 1) & (place <= a_length)
    source = instances.a_start[:, np.newaxis] + (place - 1)
    lengths = instances.a_length + instances.b_length + (3 if spec.next_sentence else 2)
    in_b = np.zeros_like(ordinary)
    if spec.next_sentence:
        in_b = (place >= a_length + 2) & (place < a_length + 2 + instances.b_length[:, np.newaxis])
        source = np.where(in_b, instances.b_start[:, np.newaxis] + (place - a_length - 2), source)
        ordinary = ordinary | in_b
    ids = np.full(ordinary.shape, special["pad"], np.int32)
    ids[ordinary] = token_ids[source[ordinary]]
    ordinary &= ids != special["sep"]
    ids[:, 0] = special["cls"]
    ids[rows, instances.a_length + 1] = special["sep"]
    type_ids = in_b.astype(np.uint8)
    if spec.next_sentence:
        ids[rows, lengths - 1] = special["sep"]
        type_ids[rows, lengths - 1] = 1
    return ids, type_ids, ordinary, lengths
