"""Extracts paragraphs from the documentation of Python packages: docstrings, reStructuredText and Markdown.

Documentation mixes prose with code, tables, signatures and markup. First, whole structures are removed (fenced code,
doctests, literal blocks, directives, tables). The remaining lines are joined into paragraphs, without titles and the
names in lists of arguments. Then their inline markup is removed, and paragraphs that are not prose are dropped.
"""

from __future__ import annotations

import html
import inspect
import re
from collections import Counter
from collections.abc import Iterator

from pipeline.sample.prose import punctuated, why_not_prose, without_urls

# The body of a line indented by `indent`: all following lines that are blank or indented deeper.
_HANGING = r"(?:(?:[ ]*\n)*(?P=indent)[ ]+\S.*\n)*"
_ADMONITION = (
    r"\.\.[ ]+(?:admonition::.*|(?:attention|caution|danger|error|hint|important|note|tip|warning)::"
    r"|(?:deprecated|versionadded|versionchanged)::[ ]*[\w.]*)"
)
# (reason, pattern, replacement); replacement by a blank line ends the paragraph before it.
_STRUCTURES = [
    (reason, re.compile(pattern, re.MULTILINE), replacement)
    for reason, pattern, replacement in (
        ("comment", r"(?s:<!--.*?-->)", "\n"),
        ("fenced code", r"^[ ]*(?P<fence>`{3,}|~{3,}).*\n(?:.*\n)*?[ ]*(?P=fence)[ ]*\n", "\n"),
        ("doctest", r"^[ ]*>>>.*\n(?:[ ]*\S.*\n)*", "\n"),
        ("directive", rf"^(?P<indent>[ ]*)(?!{_ADMONITION})\.\.(?:[ ].*)?\n{_HANGING}", "\n"),
        (
            "literal block",
            rf"^(?P<indent>[ ]*)(?P<before>(?:\S.*)?:):[ ]*\n(?:[ ]*\n)+{_HANGING}",
            r"\g<indent>\g<before>\n\n",
        ),
        ("table", r"(?:^[ ]*[|+].*[|+][ ]*\n)+", "\n"),  # A grid table, or a Markdown table with outer bars.
        ("table", r"^[ ]*=+(?:[ ]+=+)+[ ]*\n(?:[ ]*\S.*\n)*", "\n"),  # A reStructuredText simple table.
        ("table", r"^.*\|.*\n[ |:]*---[-|: ]*\n(?:.*\|.*\n)*", "\n"),  # A Markdown table without outer bars.
    )
]
_ADMONITION_MARK = re.compile(_ADMONITION)
_RULE = r"(?P<rule>[=\-~^\"'`#*+_:.<>])(?P=rule){2,}[ ]*$"  # Only punctuation, as under a title.
_UNDERLINED = re.compile(rf"^[ ]*(?P<title>\S.*)\n[ ]*{_RULE}", re.MULTILINE)
_TITLE = re.compile(rf"#+ |[A-Z][\w ]{{1,30}}:{{1,2}}$|{_RULE}")
_TITLE_OF_ENTRIES = re.compile(
    r"(?:keyword |class |call |other )?(?:arg|argument|attribute|enum|field|input|kwarg|message|option|output|param"
    r"|parameter|raise|return|throw|warn|yield)s?$",
    re.IGNORECASE,
)
_TITLE_OF_NAMES = re.compile(r"(?:see also|references?|methods|routine listings)$", re.IGNORECASE)

_NAMES = r"{name}(?:\s*,\s*{name})*".format(name=r"[`*\"']*(?:[A-Za-z_][\w.\[\]`*\"']*|\.\.\.)")
_TYPE = r"(?:\s*[(\[].*?[)\]])?"
_ENTRY = re.compile(rf"{_NAMES}{_TYPE}\s*:\s+(?=\S)")  # x (int): ...
_ENTRY_ALONE = re.compile(rf"{_NAMES}{_TYPE}(?:\s+:.*|\s*:)?$")  # x : int, on a line of its own.
_FIELD = re.compile(r"[:@]\w+(?:\s[^:`]*)?:(?=\s|$)\s*")  # :param x: ...
_FIELD_ALONE = re.compile(r":(?:type|rtype|vartype)\b")  # :type x: int
_ITEM = re.compile(r"(?:[-*+•]|(?:\d{1,2}|#)[.)]|\((?:\d{1,2}|[a-z])\))\s+(?=\S)")  # The mark of a list item.

_INLINE = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r":pep:`(\d+)`", r"PEP \1"),
        (r":rfc:`(\d+)`", r"RFC \1"),
        (r":[\w:.+-]+:`[~!]?([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1"),  # :class:`~x`, :ref:`text <target>`
        (r"`([^`<]+?)\s*<[^`>]*>`__?", r"\1"),  # `text <https://...>`_
        (r"!?\[([^\]]*)\] ?\((?=\S*[./#])(?:[^()\s]|\([^()]*\))*\)", r"\1"),  # [text](https://...)
        (r"`+~?([^`]*?)`+_{0,2}", r"\1"),
        (r"\[([^\]]+)\]\[[^\]]*\]", r"\1"),  # [text][reference]
        (r"\s*\[[\w#*-]+\]_", ""),  # A footnote: [1]_
        (r"(?<![\w*])\*{1,3}(?=[^\s*])([^*]+)(?<=[^\s*])\*{1,3}(?![\w*])", r"\1"),
        (r"(?<![\w.])_(?=[^\s_])([^_]+)(?<=[^\s_])_(?!\w)", r"\1"),  # Not __init__.
        (r"</?(?:a|b|br|code|div|em|h\d|hr|i|img|li|ol|p|pre|span|strong|sub|sup|u|ul)(?:\s[^>]*)?/?>", " "),
        (r"\s*[(<]\s*(?:https?|ftp)://[^\s>)]*\s*[)>]", ""),
        (r"\\([*_`|<>\"'])", r"\1"),
        (r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " "),  # Controls and surrogates come from escapes.
    )
]


def paragraphs(text: str, dropped: Counter[str]) -> Iterator[str]:
    """Yields the paragraphs of English prose in a piece of documentation, in order.

    Args:
        text: a docstring as in the source, or a whole reStructuredText or Markdown file.
        dropped: gets counts of omitted paragraphs and structures, such as code blocks, by reason.

    Yields:
        Paragraphs without markup, each on one line. List items are separate paragraphs, as are the descriptions in a
        list of arguments, without the names and types before them.
    """
    text = inspect.cleandoc(text) + "\n"
    for reason, structure, replacement in _STRUCTURES:
        text, count = structure.subn(replacement, text)
        dropped[reason] += count
    text = _UNDERLINED.sub(r"\n# \g<title>\n", text)
    for lines in _paragraph_lines(text.splitlines(), dropped):
        paragraph = without_urls(_without_markup(" ".join(lines)), dropped)
        # A name in backquotes keeps its case; a list item becomes a sentence.
        first = lines[0].split()[0].rstrip(",")
        if first.isalpha() and first.islower():
            paragraph = paragraph[:1].upper() + paragraph[1:]
        reason = why_not_prose(paragraph)
        if reason:
            dropped[reason] += 1
        else:
            yield punctuated(paragraph)


def _paragraph_lines(lines: list[str], dropped: Counter[str]) -> Iterator[list[str]]:
    """Groups stripped lines into paragraphs; omits titles and the names in lists of arguments."""
    paragraph: list[str] = []
    first_indent = last_indent = 0  # Of the paragraph's lines.
    titles: list[tuple[str, int]] = []  # Of the sections that contain the line, with their indents.
    for line in [*lines, ""]:
        text = _ADMONITION_MARK.sub("", line).strip()
        indent = len(line) - len(line.lstrip())
        while text and titles and indent <= titles[-1][1]:
            titles.pop()
        title = titles[-1][0] if titles else ""
        of_entries = _TITLE_OF_ENTRIES.match(title) is not None
        starts = (
            not paragraph
            or not text
            or indent < last_indent
            or (indent > last_indent and paragraph[-1].endswith((".", ":")))
        )
        if starts and _TITLE.match(text):
            if text.startswith("#"):
                titles = [(text.strip("# "), -1)]  # Its section need not be indented; that of "Args:" is.
            else:
                titles.append((text.rstrip(":"), indent))
            text = ""
            dropped["title"] += 1
        elif text and _TITLE_OF_NAMES.match(title):
            text = ""
            dropped["list of names"] += 1
        elif _FIELD_ALONE.match(text) or (starts and of_entries and _ENTRY_ALONE.match(text)):
            starts, text = True, ""
            dropped["name and type"] += 1
        for mark in (_ITEM, _FIELD, _ENTRY):
            if mark is not _ENTRY or (of_entries and (starts or indent <= first_indent)):
                unmarked = mark.sub("", text, count=1) if mark.match(text) else text
                starts = starts or unmarked != text
                text = unmarked
        if starts:
            if paragraph:
                yield paragraph
            paragraph, first_indent = [], indent
        if text:
            paragraph.append(text)
            last_indent = indent


def _without_markup(paragraph: str) -> str:
    for pattern, replacement in _INLINE:
        paragraph = pattern.sub(replacement, paragraph)
    return html.unescape(paragraph).strip()
