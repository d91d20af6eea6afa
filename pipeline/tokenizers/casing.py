"""Decides whether to lower-case text and strip accents for a vocabulary, from the files beside it, or from its entries.

A lack of capital letters alone decides nothing: a vocabulary of a script without case has none either. Text stripped of
its marks (the vowel signs of Hindi, the voicing marks of kana, the syllables of Hangul) would not match it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline import files
from pipeline.errors import VocabularyError
from pipeline.tokenizers.normalizer import strip_accents

# Uncased vocabularies have almost no entries that cannot result from lower-cased text without accents; BERT's has none.
# Smaller shares than this are ignored: of capitals among entries in scripts with case, and of accents among all.
_HARDLY_ANY = 0.01
_CONJOINING_JAMO = ("\u1100", "\u11ff")  # Stripping accents decomposes Hangul syllables into these.
# Hugging Face's files. They describe the vocabulary beside them only if it has one of these names.
_TOKENIZER_CONFIG, _TOKENIZER = "tokenizer_config.json", "tokenizer.json"
_HUGGING_FACE_NAMES = ("vocab.txt", "spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


FOLDED_BY_MODEL = "the model folds case itself"
NORMALIZED_BY_TOKENIZER = "the tokenizer.json specifies how text is normalised"
AS_ASKED = "as requested"


class Casing(NamedTuple):
    """A decision on the casing of text.

    Attributes:
        lower_case: whether to lower-case text and strip accents.
        reason: the reason, as a clause that completes a sentence.
        certain: whether there is evidence for the decision; if not, text is left unchanged.
    """

    lower_case: bool
    reason: str
    certain: bool = True

    def __str__(self) -> str:
        if self.reason == FOLDED_BY_MODEL:
            return "Text is given to the SentencePiece model as it is, which folds case itself"
        if self.reason == NORMALIZED_BY_TOKENIZER:
            return "Text is given to the tokenizer as it is, which normalises it by its own rules"
        done = "lower-cased and stripped of accents" if self.lower_case else "kept as it is, with case and accents"
        return f"Text is {done}: {self.reason}"


def stated_casing(path: str, vocabulary: bytes) -> Casing | None:
    """Reads the casing of a vocabulary from the files beside it.

    These are the .json written by `vocab`, a corpus's manifest.json and a run's run.json (each is used only if it
    contains the vocabulary's SHA-256), and Hugging Face's tokenizer_config.json and tokenizer.json.

    Args:
        path: the vocabulary file.
        vocabulary: its bytes.

    Returns:
        The decision; None if no file states it.

    Raises:
        VocabularyError: if only one of lower-casing and stripping accents is stated, which no tokenizer here supports.
    """
    sha256 = hashlib.sha256(vocabulary).hexdigest()
    folder, _, name = path.rpartition("/")
    folder = folder or ("/" if path.startswith("/") else ".")
    learned = _read_object(f"{path}.json")
    if learned.get("sha256") == sha256:
        options = _mapping(learned.get("options"))
        # A SentencePiece model that was learned folds case itself, one that was extended may not ("sentencepiece"); a
        # tokenizer.json has a normaliser.
        if isinstance(options.get("lower_case"), bool) and options.get("kind") not in ("bytebpe", "huggingface"):
            lower_case = options["lower_case"] and options.get("kind") in ("wordpiece", "sentencepiece")
            return Casing(lower_case, f"as specified in {path}.json")
    for neighbour in ("manifest.json", "run.json"):
        described = _mapping(_read_object(files.join(folder, neighbour)).get("tokenizer"))
        if described.get("sha256") == sha256 and isinstance(described.get("lower_case"), bool):
            return Casing(described["lower_case"], f"as specified in the {neighbour} beside the vocabulary")
    return _as_hugging_face_says(folder) if name in _HUGGING_FACE_NAMES else None


def _as_hugging_face_says(folder: str) -> Casing | None:
    name, settings = _TOKENIZER_CONFIG, _read_object(files.join(folder, _TOKENIZER_CONFIG))
    lower_case = settings.get("do_lower_case")
    if lower_case is None:
        name, settings = _TOKENIZER, _mapping(_read_object(files.join(folder, _TOKENIZER)).get("normalizer"))
        lower_case = settings.get("lowercase")
    if not isinstance(lower_case, bool):
        return None
    strips = settings.get("strip_accents")
    if isinstance(strips, bool) and strips != lower_case:
        raise VocabularyError(
            f"{files.join(folder, name)} must both lower-case and strip accents, or neither",
            received=f"lower case: {lower_case}, strip_accents: {strips}",
            do="For a corpus, set --lower-case or --no-lower-case, which does both or neither",
        )
    return Casing(lower_case, f"as specified in the {name} beside the vocabulary")


def casing_of_entries(entries: Iterable[str]) -> Casing:
    """Infers the casing from a vocabulary's entries, given without special tokens and placeholders."""
    text = [entry for entry in entries if any(map(str.isalpha, entry))]
    cased = [entry for entry in text if entry.lower() != entry.upper()]
    if sum(entry != entry.lower() for entry in cased) > _HARDLY_ANY * len(cased):
        return Casing(False, "the vocabulary has capital letters")
    unreachable = [entry for entry in text if strip_accents(entry) != entry]
    if len(unreachable) > _HARDLY_ANY * len(text):
        return Casing(False, f"the vocabulary has entries with accents or marks, such as {unreachable[0]!r}")
    if cased:
        return Casing(True, "the vocabulary has lower-case letters, no capitals and no accents")
    first, last = _CONJOINING_JAMO
    if any(first <= character <= last for entry in text for character in entry):
        return Casing(True, "the vocabulary has decomposed Hangul syllables, as stripping accents leaves them")
    return Casing(
        lower_case=False,
        reason="the vocabulary has neither cased letters nor marks, so nothing shows that its text was lower-cased;"
        " if it was, use --lower-case",
        certain=False,
    )


def _read_object(path: str) -> dict[str, Any]:
    """Reads a JSON object from a file; returns an empty one if the file is missing or is not a JSON object."""
    if not files.exists(path):
        return {}
    try:
        return _mapping(json.loads(files.read(path)))
    except ValueError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
