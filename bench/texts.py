"""Text of any size, in BERT's format, for the benchmarks: real text, repeated with its paragraphs reordered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.separators import separators
from pipeline.text.reading.sniffing import sniff_format
from pipeline.text.reading.text_reader import read_text
from pipeline.text.sentences import split_sentences


def write_text(source: Path, megabytes: float, path: Path, *, files: int = 1, seed: int = 1) -> int:
    """Writes text in BERT's format: one sentence per line, a blank line between documents.

    Args:
        source: a text file, in any of the text formats.
        megabytes: the size to write, in bytes / 1e6.
        path: the file, or with several files the directory of "00000.txt" and so on.
        files: the number of files.
        seed: the seed of the order of paragraphs.

    Returns:
        The number of documents.
    """
    wanted = int(megabytes * 1e6)
    paths = [path]
    if files > 1:
        path.mkdir(parents=True, exist_ok=True)
        paths = [path / f"{index:05d}.txt" for index in range(files)]
    documents = _reordered(read_documents(source), random.Random(seed))
    count = written = 0
    for index, part in enumerate(paths, start=1):
        with part.open("wb") as stream:
            while written < wanted * index // files:
                written += stream.write(next(documents))
                count += 1
    return count


def read_documents(source: Path) -> list[list[str]]:
    """Reads the documents of a file as lists of paragraphs, each with one sentence per line."""
    size, text_format = source.stat().st_size, sniff_format(str(source))
    segment = Segment(str(source), 0, size, size, size, text_format)
    texts = (document.text for document in read_text(segment, separators(text_format), TextCounts()))
    split = [["\n".join(split_sentences(paragraph)) for paragraph in text.split("\n")] for text in texts]
    return [list(filter(None, paragraphs)) for paragraphs in split]


def _reordered(documents: list[list[str]], draw: random.Random) -> Iterator[bytes]:
    """Yields documents without end: all of them in random order, with paragraphs in random order, then again."""
    while True:
        for document in draw.sample(documents, len(documents)):
            yield ("\n".join(draw.sample(document, len(document))) + "\n\n").encode()
