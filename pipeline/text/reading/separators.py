"""The separators between documents in files of text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import ConfigError

_NEWLINE = r"(?:\r\n|\r(?!\n)|\n)"
_BLANK_LINE = rf"{_NEWLINE}[ \t]*{_NEWLINE}\s*"
_USUAL_MARK = "<|endoftext|>"
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


@dataclass(frozen=True)
class Separators:
    """Patterns that find the separators of documents.

    Attributes:
        between_documents: separator of documents, in text whose lines end in line feeds.
        boundaries: where a file may be cut, in its raw bytes: after the end of a match. The best come first: between
            documents, then, within a document, between paragraphs, lines, words.
        mark: a text that was probably meant as a separator if it occurs within a document.
    """

    between_documents: re.Pattern[str]
    boundaries: tuple[re.Pattern[bytes], ...]
    mark: str


def separators(text_format: str, document_separator: str = "") -> Separators:
    """Returns the separators of a format.

    Args:
        text_format: a key of `pipeline.text.reading.formats.TEXT_FORMATS`.
        document_separator: the text of the line between documents; or, if it contains line ends, the exact text between
            them; "" for blank lines: one, or three in wrapped prose. "\\n", "\\t" and "\\\\" are escapes.

    Raises:
        ConfigError: if the separator is white space without a line end.
    """
    separator = re.sub(r"\\[nt\\]", lambda escape: _ESCAPES[escape[0]], document_separator).replace("\r\n", "\n")
    if separator and not separator.strip() and "\n" not in separator:
        raise ConfigError(
            "document_separator must be the text of a line, or contain line ends",
            received=repr(document_separator),
            do=r"'\n' makes every line a document",
        )
    between = _between_documents(text_format, separator, newline=r"\n", space=r"[^\S\n]", start=r"(?:\A|\n)")
    in_bytes = _between_documents(text_format, separator, newline=_NEWLINE, space=r"[ \t]", start=_NEWLINE)
    patterns = dict.fromkeys([in_bytes if separator else rf"{in_bytes}\s*", _BLANK_LINE, _NEWLINE, r"[ \t]"])
    boundaries = tuple(re.compile(pattern.encode()) for pattern in patterns)
    return Separators(re.compile(between), boundaries, separator.strip() if separator else _USUAL_MARK)


def _between_documents(text_format: str, separator: str, *, newline: str, space: str, start: str) -> str:
    """Builds the pattern of document separators from patterns of line ends, white space, and the start of a line."""
    if "\n" in separator:
        return newline.join(map(re.escape, separator.split("\n")))
    if separator:
        return rf"{start}{space}*{re.escape(separator.strip())}{space}*(?={newline})"
    if text_format == "wrapped":
        # As between the chapters of books, where fewer blank lines separate paragraphs and headings.
        return rf"{newline}(?:{space}*{newline}){{3,}}"
    return rf"{newline}{space}*{newline}"
