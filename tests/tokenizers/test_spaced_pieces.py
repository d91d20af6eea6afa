"""On models of real text, these rules are tested in test_sentencepiece.py."""

import numpy as np

from pipeline.tokenizers.spaced_pieces import SPACE, spaced_boundaries


def test_words_begin_at_white_space_and_around_marks() -> None:
    tokens = ["[CLS]", "[UNK]", "▁the", "re", SPACE, ",", "中", "<0xE4>", "<0xB8>", "<0x2E>"]
    byte_pieces = {token: int(token[1:-1], 16) for token in tokens if token.startswith("<0x")}
    boundaries = spaced_boundaries(tokens, range(2, len(tokens)), 1, byte_pieces)

    def begins(*names: str) -> str:
        found = boundaries.find(np.array([tokens.index(name) for name in names]))
        return "".join("x" if begin else "-" for begin in found)

    assert begins("▁the", "re", "[UNK]", "▁the") == "x--x"
    assert begins("▁the", ",", "re", SPACE, "re", "re") == "xxxx--"
    assert begins("中", "re", "中") == "xxx"
    assert begins("re", "<0xE4>", "<0xB8>", "re", "<0x2E>") == "-x--x"
    assert begins("[CLS]", "re", "re") == "xx-"
