"""Whether text is lower-cased and stripped of accents for a vocabulary: what its files say, else what its entries show.

Only evidence counts. A vocabulary of a script without case has no capital letter either, and text without its marks
(the vowel signs of Hindi, the voicing marks of kana, the syllables of Hangul) is no longer what it was learned from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline import files
from pipeline.errors import VocabularyError
from pipeline.tokenizers.normalizer import strip_accents

# Uncased vocabularies hold next to no entry that lower-cased text without accents cannot give: BERT's holds none. So
# does a share of capitals (of the entries in scripts that have them) below this show none.
_HARDLY_ANY = 0.01
_CONJOINING_JAMO = ("\u1100", "\u11ff")  # What Hangul's syllables become without accents.
# Hugging Face's files. The first describes the vocabulary beside it, which must therefore bear one of these names.
_TOKENIZER_CONFIG, _TOKENIZER = "tokenizer_config.json", "tokenizer.json"
_HUGGING_FACE_NAMES = ("vocab.txt", "spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


AS_ASKED = "as asked for"


class Casing(NamedTuple):
    """A decision.

    Attributes:
        lower_case: whether to lower-case text and to strip accents.
        reason: what tells so, in words that complete a sentence.
        certain: whether anything does; else text is kept as it is.
    """

    lower_case: bool
    reason: str
    certain: bool = True

    def __str__(self) -> str:
        done = "lower-cased, without accents" if self.lower_case else "kept as it is, capitals and accents"
        return f"Text is {done}: {self.reason}"


def stated_casing(path: str, vocabulary: bytes) -> Casing | None:
    """What the files beside a vocabulary say of it.

    These are: the .json that `vocab` writes, the manifest.json of a corpus, the run.json of a run (each counts only if
    it names this vocabulary's SHA-256), and Hugging Face's tokenizer_config.json or tokenizer.json.

    Args:
        path: where the vocabulary lies.
        vocabulary: its bytes.

    Returns:
        The decision; None where no file tells.

    Raises:
        VocabularyError: if text is to be lower-cased with its accents kept, which no tokenizer here does.
    """
    sha256 = hashlib.sha256(vocabulary).hexdigest()
    folder, _, name = path.rpartition("/")
    folder = folder or ("/" if path.startswith("/") else ".")
    learned = _read_object(f"{path}.json")
    if learned.get("sha256") == sha256:
        options = _mapping(learned.get("options"))
        if isinstance(options.get("lower_case"), bool):
            # A SentencePiece model folds case itself.
            return Casing(options["lower_case"] and options.get("kind") == "wordpiece", f"{path}.json says so")
    for neighbour in ("manifest.json", "run.json"):
        described = _mapping(_read_object(files.join(folder, neighbour)).get("tokenizer"))
        if described.get("sha256") == sha256 and isinstance(described.get("lower_case"), bool):
            return Casing(described["lower_case"], f"the {neighbour} beside the vocabulary says so")
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
            f"{files.join(folder, name)} must strip accents where it lower-cases, and only there",
            received=f"lower case: {lower_case}, strip_accents: {strips}",
            do="No tokenizer here does one without the other; for a corpus, --lower-case or --no-lower-case decides",
        )
    return Casing(lower_case, f"the {name} beside the vocabulary says so")


def casing_of_entries(entries: Iterable[str]) -> Casing:
    """What the entries of a vocabulary show; special tokens and place holders are to be left out."""
    text = [entry for entry in entries if any(map(str.isalpha, entry))]
    cased = [entry for entry in text if entry.lower() != entry.upper()]
    if sum(entry != entry.lower() for entry in cased) > _HARDLY_ANY * len(cased):
        return Casing(False, "the vocabulary has capital letters")
    unreachable = [entry for entry in text if strip_accents(entry) != entry]
    if len(unreachable) > _HARDLY_ANY * len(text):
        return Casing(False, f"the vocabulary has entries with accents or marks, such as {unreachable[0]!r}")
    if cased:
        return Casing(True, "the vocabulary has small letters, no capital ones and no accents")
    first, last = _CONJOINING_JAMO
    if any(first <= character <= last for entry in text for character in entry):
        return Casing(True, "the vocabulary has Hangul's syllables in parts, as they are without accents")
    return Casing(
        lower_case=False,
        reason="the vocabulary has neither cased letters nor marks, so nothing shows that its text was lower-cased;"
        " --lower-case says that it was",
        certain=False,
    )


def _read_object(path: str) -> dict[str, Any]:
    """A JSON object from a file; an empty one if there is none. What is no JSON tells nothing."""
    if not files.exists(path):
        return {}
    try:
        return _mapping(json.loads(files.read(path)))
    except ValueError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
