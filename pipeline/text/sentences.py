"""Splitting text into sentences by rules, at the speed of compiled regular expressions."""

from __future__ import annotations

import re

# Words after which a full stop does not end a sentence, though a capital follows.
_ABBREVIATIONS = frozenset(
    """
    Mr Mrs Ms Mx Dr Prof Rev Fr Hon Gen Col Maj Capt Lt Sgt Cmdr Adm Gov Sen Rep Pres Supt St Ste Mt Messrs Mme Mlle
    Jr Sr Esq vs al cf eg ie viz approx ca Fig Figs fig figs Eq Eqs eq No Nos Vol vol pp Sec Ch ch Ed ed eds Inc Ltd
    Co Corp Bros Dept Univ Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Nr Hr bzw Abs Art
    """.split()
)
_CLOSERS = "\"'”’»)\\]"
_OPENERS = "\"'“‘«‹(\\[¿¡"
# White space behind an end of sentence and what closes quotations and brackets, before a letter or digit; or the end
# of sentence alone in scripts that put no space between sentences.
_BOUNDARY = re.compile(
    rf"([.!?…])[{_CLOSERS}]*\s+(?=[{_OPENERS}]*(\w))"
    rf"|[।॥؟۔።။][{_CLOSERS}]*\s*(?=\S)"
    rf"|[。！？｡]+[」』”’）】》{_CLOSERS}]*\s*(?=\S)"
)
_LAST_WORD = re.compile(r"([^\W\d_]|\.)+$")
_LONGEST_LOOK_BACK = 12


def split_sentences(document: str) -> list[str]:
    """Splits a document into sentences.

    A full stop, question or exclamation mark before white space ends one unless a lower-case letter follows; a full
    stop does not behind an abbreviation or an initial. Chinese and Japanese stops, dandas, and Arabic, Ethiopic and
    Burmese ones end a sentence wherever they stand.

    Args:
        document: text whose lines are paragraphs; no sentence spans two of them.

    Returns:
        The sentences, stripped of white space around them; none is empty. Together they hold every character of the
        document but white space between sentences.
    """
    marked = _BOUNDARY.sub(_mark, document)
    return [sentence for line in marked.split("\n") if (sentence := line.strip())]


def _mark(match: re.Match[str]) -> str:
    """The text of a candidate, with a line feed at its end if it is a boundary."""
    text: str = match[0]
    following = match[2]
    if following is not None:
        if following.islower():
            return text
        if match[1] == "." and _is_abbreviated(match.string, match.start()):
            return text
    return text.rstrip() + "\n"


def _is_abbreviated(document: str, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to an abbreviation or an initial."""
    word = _LAST_WORD.search(document[max(0, stop - _LONGEST_LOOK_BACK) : stop])
    if word is None:
        return False
    text = word[0]
    return text in _ABBREVIATIONS or (len(text) == 1 and text.isupper()) or "." in text[:-1]
