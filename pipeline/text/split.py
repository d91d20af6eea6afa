"""Selects the documents held out for validation or for evaluating a vocabulary."""

from __future__ import annotations

import hashlib

from pipeline.text.fingerprint import fingerprint


def is_set_apart(document: str, fraction: float, seed: int) -> bool:
    """Returns whether a document is held out; its hash alone decides, so all copies of it are treated alike.

    Documents that differ only in white space or the case of ASCII letters are treated alike, too.

    The corpus job's validation documents are those that the vocabulary job holds out, if both read the same text with
    the same fraction and seed.

    Args:
        document: its text.
        fraction: the share of documents to hold out, in [0, 1).
        seed: determines which documents are selected.
    """
    if not fraction:
        return False
    digest = hashlib.blake2b(fingerprint(document), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64
