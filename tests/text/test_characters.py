import unicodedata

import numpy as np

from pipeline.text.characters import code_points, letters


def test_code_points_of_all_planes() -> None:
    np.testing.assert_array_equal(code_points("aé漢😀\n"), [0x61, 0xE9, 0x6F22, 0x1F600, 0x0A])


def test_letters_are_letters_and_marks() -> None:
    table = letters()
    sample = [*range(0x3000), *range(0x3400, 0x110000, 97)]
    expected = [unicodedata.category(chr(code))[0] in "LM" for code in sample]
    np.testing.assert_array_equal(table[sample], expected)
