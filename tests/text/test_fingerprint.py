import hashlib

import pytest

from pipeline.text.fingerprint import fingerprint


def test_is_the_hash_of_the_normalized_text() -> None:
    expected = hashlib.blake2b("aéÉ漢字.".encode(), digest_size=16).digest()
    assert fingerprint(" A é\nÉ\t漢字 .\r\n") == expected
    assert len(fingerprint("")) == 16
    fingerprint("half a pair: \ud800")


@pytest.mark.parametrize("other", ["One two", "One. Twö.", "One. Two!", "Two. One.", ""])
def test_other_text_is_another(other: str) -> None:
    assert fingerprint("One. Two.") != fingerprint(other)
