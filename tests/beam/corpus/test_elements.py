from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.elements import documents_of, make_element
from pipeline.errors import InputError
from pipeline.text.reading.document import TextCounts


def config(**options: Any) -> CorpusConfig:
    return CorpusConfig(input=("-",), output="-", vocab="-", **options)


def test_equal_contents_have_equal_digests_and_one_shard() -> None:
    first, second, other = (
        make_element(text, config()) for text in ("The river.\nIt ran.", "the RIVER. It ran.", "No.")
    )
    assert first.digest == second.digest != other.digest
    assert first.shard(7) == second.shard(7)
    assert make_element("The river.", config(seed=1)).digest != make_element("The river.", config(seed=2)).digest
    shards = Counter(make_element(f"Document {number}.", config()).shard(4) for number in range(2000))
    assert sorted(shards) == [0, 1, 2, 3]
    assert max(shards.values()) < 600  # 500 on average, with a standard deviation of 19.


def test_cleaning_and_counts() -> None:
    element = make_element(" Caf\u0065\u0301\x00 \r\n\r\nIt was\tclosed. ", config())
    assert element.text == "Café\nIt was\tclosed."
    assert json.loads(element.counts) == [{"characters_removed": 1, "documents_composed": 1}, {}]
    assert make_element("Plain.", config()).counts == ""
    replaced = make_element("A bad \udc80 byte.", config())
    assert replaced.text == "A bad \ufffd byte."
    dropped = make_element("A bad \udc80 byte.", config(on_bad_text="drop"))
    assert dropped.text == ""
    assert json.loads(dropped.counts)[0] == {"bad_text_documents": 1, "dropped/bad_text": 1}


def test_kinds_of_documents(documents: list[list[str]]) -> None:
    """All become the same sentences, and belong to the same shards."""
    kinds = {
        "text": ["\n".join(document) for document in documents],
        "lines": [" \r\n" + "  \r".join(document) + "\n\n" for document in documents],
        "sentences": documents,
        "mappings": [{"page": {"body": "\n".join(document)}} for document in documents],
        "split mappings": [{"page": {"body": tuple(document)}} for document in documents],
    }
    expected = [("\n".join(document), document) for document in documents]
    digests = set()
    for name, found in kinds.items():
        field = {"text_field": "page.body"} if "mappings" in name else {}
        # Sentences that are given are not split; texts have a line for each.
        options = config(**field, sentence_splitter="none" if name in ("sentences", "split mappings") else "lines")
        elements = [make_element(document, options) for document in found]
        assert list(documents_of(elements, options, TextCounts())) == expected
        digests.add(tuple(element.digest for element in elements))
    assert len(digests) == 1


def test_sentences_are_lines() -> None:
    element = make_element(["One.  Two\nstill two.", "", "Three."], config())
    assert (element.text, element.is_split) == ("One. Two still two.\nThree.", True)
    counts = TextCounts()
    assert list(documents_of([element], config(), counts)) == [(element.text, ["One. Two still two.", "Three."])]
    text = make_element("One. Two.\nThree.", config())
    assert [sentences for _, sentences in documents_of([text], config(), counts)] == [["One.", "Two.", "Three."]]


def test_duplicates_and_drops_are_counted() -> None:
    elements = sorted(make_element(text, config()) for text in ["a b", "A B", "c", "", "a b"])
    counts = TextCounts()
    assert len(list(documents_of(elements, config(), counts))) == 4
    assert counts == {"dropped/empty": 1}
    counts = TextCounts()
    # Capitals sort first: which duplicate is kept does not depend on the order of the input.
    assert sorted(text for text, _ in documents_of(elements, config(dedup="exact"), counts)) == ["A B", "c"]
    assert counts == {"dropped/empty": 1, "dropped/duplicate": 2}
    assert [sample["text"] for sample in counts.dropped["duplicate"]] == ["a b", "a b"]


@pytest.mark.parametrize("document", [None, 1, b"", ["a", None], {"text": 5}, {"text": {"a": "b"}}, {"a"}])
def test_what_is_no_document_is_an_error(document: Any) -> None:
    with pytest.raises(InputError, match=r"A document must be a str, a list of sentences, or a mapping"):
        make_element(document, config())


@pytest.mark.parametrize(
    ("document", "reason"), [({}, "no_text"), ({"a": 1}, "no_text"), ({"a": {"b": None}}, "no_text")]
)
def test_mappings_without_a_text_are_dropped(document: Any, reason: str) -> None:
    element = make_element(document, config(text_field="a.b"))
    assert json.loads(element.counts)[0] == {f"dropped/{reason}": 1}


def test_a_text_of_a_wrong_type_is_dropped_if_asked() -> None:
    element = make_element({"text": 5}, config(on_bad_text="drop"))
    assert json.loads(element.counts)[0] == {"dropped/no_text_field": 1}
    with pytest.raises(InputError, match="Received: int: 5"):
        make_element(5, config(on_bad_text="drop"))
