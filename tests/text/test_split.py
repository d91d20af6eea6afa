import pytest

from pipeline.text.split import is_set_apart

DOCUMENTS = [f"Document {i} of some text." for i in range(4000)]


@pytest.mark.parametrize("fraction", [0.02, 0.5])
def test_sets_the_share_apart(fraction: float) -> None:
    apart = sum(is_set_apart(document, fraction, 1) for document in DOCUMENTS)
    deviation = (fraction * (1 - fraction) * len(DOCUMENTS)) ** 0.5
    assert abs(apart - fraction * len(DOCUMENTS)) < 4 * deviation


def test_a_larger_share_holds_a_smaller_one() -> None:
    small, large = ({d for d in DOCUMENTS if is_set_apart(d, fraction, 1)} for fraction in (0.05, 0.2))
    assert small < large


def test_depends_on_the_seed_and_the_text_alone() -> None:
    def chosen(seed: int) -> list[str]:
        return [document for document in DOCUMENTS if is_set_apart(document, 0.1, seed)]

    assert chosen(1) == chosen(1) != chosen(2)


def test_nothing_and_text_that_is_not_unicode() -> None:
    assert not any(is_set_apart(document, 0.0, 1) for document in DOCUMENTS)
    assert is_set_apart("half a pair: \ud800", 0.999999, 1)


def test_the_same_text_is_on_the_same_side_however_it_is_set() -> None:
    for document in DOCUMENTS[:500]:
        variants = [document.upper(), document.replace(" ", "\n"), f"  {document.title()}\n"]
        assert {is_set_apart(variant, 0.5, 1) for variant in variants} == {is_set_apart(document, 0.5, 1)}
