"""The options of the vocabulary job."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.text.readers import FORMATS

_BERT = "google-research/bert create_pretraining_data.py"


@dataclass(frozen=True)
class VocabConfig:
    """Every option that decides the bytes of a learned vocabulary."""

    input: tuple[str, ...] = option((), "files, directories or globs of raw text; any file system that Beam knows")
    output: str = option("", "vocabulary file to write, a token a line")
    format: str = option("auto", "format of the text; auto looks at the first file", choices=("auto", *FORMATS))
    vocab_size: int = option(
        30522, "entries of the vocabulary, special tokens included", minimum=100, maximum=1 << 20, source=_BERT
    )
    lower_case: bool = option(True, "lower-case and strip accents", source=_BERT)
    min_count: int = option(2, "least count of a word to learn from", minimum=1)
    unused_tokens: int = option(0, "place holders [unused0], [unused1] ... for tokens of later use", minimum=0)
    held_out_fraction: float = option(
        0.02,
        "share of documents, chosen by their hash, that the vocabulary is judged on instead of learned from; the same"
        " as the corpus job's validation_fraction holds out the same documents",
        minimum=0,
        maximum=0.99,
    )
    max_words: int = option(
        2_000_000,
        "distinct words to keep, of a block and in all, the most frequent: bounds memory",
        minimum=1000,
    )
    block_bytes: int = option(0, "bytes of text counted at a time; 0 chooses 4 to 32 MiB", minimum=0)
    seed: int = option(12345, "seed of the choice of documents to hold out")

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("input", "output"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is needed", do=f"Set --{name}, or {name} in the config file")
