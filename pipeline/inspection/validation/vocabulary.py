"""The facts about a vocabulary that the checks need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.validation.problems import Problem
from pipeline.tokenizers import load_tokenizer
from pipeline.tokenizers.word_boundaries import WordBoundaries


@dataclass(frozen=True)
class VocabularyFacts:
    """Facts about a vocabulary; can be pickled.

    Attributes:
        size: its number of entries.
        special_ids: ids of the special tokens, by name.
        is_ordinary: bool `[size]`: whether an id may be a random replacement.
        word_boundaries: finds where words begin.
        known: whether the last two come from the vocabulary. If not, its file is not the right one, they are derived
            from the manifest alone, and checks that depend on them are not made.
    """

    size: int
    special_ids: Mapping[str, int]
    is_ordinary: np.ndarray
    word_boundaries: WordBoundaries
    known: bool


def read_vocabulary_facts(corpus: Corpus) -> tuple[VocabularyFacts, list[Problem]]:
    """Returns the facts about a corpus's vocabulary, and the problems of its file."""
    description = corpus.manifest.tokenizer
    size = description.vocab_size
    is_ordinary, boundaries = np.ones(size, bool), WordBoundaries(np.ones(size, bool))
    try:
        tokenizer = load_tokenizer(description, corpus.directory)
        told, held = (size, dict(description.special_ids)), (tokenizer.vocab_size, dict(tokenizer.special_ids))
        if told != held:
            message = f"The manifest describes a vocabulary of {told}; {description.vocab_file} is {held}"
            facts = VocabularyFacts(size, description.special_ids, is_ordinary, boundaries, False)
            return facts, [Problem("files", message)]
    except UserError as error:
        is_ordinary[list(description.special_ids.values())] = False
        facts = VocabularyFacts(size, description.special_ids, is_ordinary, boundaries, False)
        return facts, [Problem("files", str(error))]
    is_ordinary[:] = False
    is_ordinary[tokenizer.ordinary_ids] = True
    return VocabularyFacts(size, description.special_ids, is_ordinary, tokenizer.word_boundaries, True), []
