"""Documents that are elements of a PCollection: what they may be, and which shard they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.errors import InputError
from pipeline.text.cleaning import clean_document
from pipeline.text.fingerprint import fingerprint
from pipeline.text.reading.document import Document, TextCounts, add_samples
from pipeline.text.reading.text_reader import normalized_lines
from pipeline.text.splitters import sentence_splitter

SOURCE = "a PCollection"  # Where a manifest says that the documents are from.


class Element(NamedTuple):
    """A cleaned document; elements sort in an order that depends only on their contents and the seed.

    Attributes:
        digest: 16 bytes, a hash of the text and the seed, equal for duplicates (`pipeline.text.fingerprint`).
        text: the text, with one paragraph or sentence per line; "" if the document was dropped.
        is_split: whether the lines are sentences.
        bytes: bytes of the document in UTF-8, before it was cleaned.
        counts: what `TextCounts` counted, as JSON; "" for nothing.
    """

    digest: bytes
    text: str
    is_split: bool
    bytes: int
    counts: str

    def shard(self, shards: int) -> int:
        """Returns the number of the document's shard, in `[0, shards)`."""
        return int.from_bytes(self.digest[:8], "little") % shards


def make_element(document: Any, config: CorpusConfig) -> Element:
    """Cleans a document.

    Args:
        document: a text; a list or tuple of sentences; or a mapping that has one of them in `config.text_field`.
        config: the options.

    Raises:
        InputError: if it is none of them; with `config.on_bad_text` "drop", a mapping without a text is dropped.
    """
    counts = TextCounts()
    text, is_split = _text_of(document, config, counts)
    clean = None
    if text is not None:
        whole = Document(normalized_lines(text), SOURCE, "an element")
        clean = clean_document(
            whole, config.cleaning_rules(), drop_bad_text=config.on_bad_text == "drop", counts=counts
        )
    text = text or ""
    # Documents that cleaning makes equal are in one shard: there, duplicates are found.
    hashed = fingerprint(clean.text if clean else text)
    return Element(
        digest=hashlib.blake2b(hashed, digest_size=16, key=str(config.seed).encode()).digest(),
        text=clean.text if clean else "",
        is_split=is_split,
        bytes=len(text.encode("utf-8", "surrogatepass")),
        counts=json.dumps([counts, counts.dropped], sort_keys=True) if counts else "",
    )


def _text_of(document: Any, config: CorpusConfig, counts: TextCounts) -> tuple[str | None, bool]:
    """Returns the text of a document, and whether its lines are sentences; None if it has none and is dropped."""
    value = document
    if isinstance(document, Mapping):
        for name in config.text_field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value, False
    if isinstance(value, (list, tuple)) and all(isinstance(sentence, str) for sentence in value):
        return "\n".join(" ".join(sentence.split()) for sentence in value), True
    if value is not document and (value is None or config.on_bad_text == "drop"):
        counts.drop(Document(repr(document), SOURCE, "an element"), "no_text" if value is None else "no_text_field")
        return None, False
    raise InputError(
        "A document must be a str, a list of sentences, or a mapping with one of them in the field"
        f" {config.text_field} (text_field)",
        received=f"{type(value).__name__}: {value!r:.80}",
        do="Decode bytes first" if isinstance(value, bytes) else "",
    )


def documents_of(
    elements: Iterable[Element], config: CorpusConfig, counts: TextCounts
) -> Iterator[tuple[str, list[str]]]:
    """Yields the text and the sentences of those elements that are not dropped.

    Args:
        elements: the elements of a shard, sorted.
        config: the options.
        counts: gets what was counted when the elements were made, and "dropped/duplicate".
    """
    split_sentences, take_lines = sentence_splitter(config.sentence_splitter, "lines"), sentence_splitter("lines", "")
    before = b""
    for element in elements:
        if element.counts:
            counted, dropped = json.loads(element.counts)
            counts.update(counted)
            add_samples(counts.dropped, dropped)
        if not element.text:
            continue
        if config.dedup == "exact" and element.digest == before:
            counts.drop(Document(element.text, SOURCE, "an element"), "duplicate")
            continue
        before = element.digest
        yield element.text, (take_lines if element.is_split else split_sentences)(element.text)
