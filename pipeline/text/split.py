"""Which documents are set apart, for validation or to judge a vocabulary."""

from __future__ import annotations

import hashlib

from pipeline.text.fingerprint import fingerprint


def is_set_apart(document: str, fraction: float, seed: int) -> bool:
    """Tells by a document's own hash whether it is set apart: the same wherever and however often it stands.

    Documents that differ in white space or the case of ASCII letters alone are on the same side.

    The corpus job's validation documents and those that the vocabulary job holds out are the same, if both read the
    same text with the same fraction and seed.

    Args:
        document: its text.
        fraction: the share of documents to set apart, in [0, 1).
        seed: gives another choice.
    """
    if not fraction:
        return False
    digest = hashlib.blake2b(fingerprint(document), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64
