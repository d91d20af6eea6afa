"""What determines the examples of a corpus, besides its documents: the options and the vocabulary."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.config.tree import to_dict
from pipeline.tokenizers import Tokenizer, make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.casing import Casing
from pipeline.tokenizers.vocabulary import find_vocabulary, read_vocabulary
from pipeline.version import __version__

# Options that do not change the output: its path, the path of the vocabulary (only its contents count), and whether the
# formats in the plan were given or detected.
_NOT_IN_KEY = ("output", "vocab", "input", "format")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The options and the vocabulary of a corpus; can be pickled.

    Attributes:
        config: the options, all resolved.
        vocabulary: the bytes of the vocabulary file.
        casing: whether text is lower-cased, and the reason.
        special_ids: ids of the special tokens, which a file beside the vocabulary may state.
    """

    config: CorpusConfig
    vocabulary: bytes
    casing: Casing
    special_ids: tuple[tuple[str, int], ...]

    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer, which is made once per process."""
        return _tokenizer(self.vocabulary, self.config.vocab, self.config.lower_case, self.special_ids)

    def identity(self) -> list[Any]:
        """Returns, as plain values, what determines the bytes of the examples of a document."""
        options = {name: value for name, value in to_dict(self.config).items() if name not in _NOT_IN_KEY}
        return [options, hashlib.sha256(self.vocabulary).hexdigest(), self.special_ids, __version__]


@functools.lru_cache(maxsize=1)
def _tokenizer(
    vocabulary: bytes, name: str, lower_case: bool | None, special_ids: tuple[tuple[str, int], ...]
) -> Tokenizer:
    return make_tokenizer(vocabulary, name=name, lower_case=lower_case, special=dict(special_ids))


def make_recipe(config: CorpusConfig) -> Recipe:
    """Reads the vocabulary, and resolves the options of examples that were left open.

    Raises:
        VocabularyError: if the vocabulary is missing or malformed.
    """
    path = find_vocabulary(config.vocab)
    vocabulary = read_vocabulary(path)
    tokenizer, casing = tokenizer_of_file(path, vocabulary, lower_case=config.lower_case)
    config = dataclasses.replace(
        config,
        lower_case=tokenizer.lower_case,
        max_predictions_per_seq=config.prediction_room(),
        max_sequences_per_row=config.most_sequences() or config.max_sequences_per_row,
    )
    return Recipe(config, vocabulary, casing, tuple(tokenizer.special_ids.items()))
