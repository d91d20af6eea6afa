"""The options of the vocabulary job."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline import files
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.seeding import LARGEST_SEED
from pipeline.text.config import TextConfig
from pipeline.tokenizers.learning.learn import KINDS
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS, is_reserved

_BERT = "google-research/bert create_pretraining_data.py"


@dataclass(frozen=True, kw_only=True)
class VocabConfig(TextConfig):
    """The options of `make_vocabulary`, which determine the bytes of a vocabulary; `docs/options.md` lists them.

    Raises:
        ConfigError: if a value is out of range, or options contradict one another.
    """

    output: str = option(
        "",
        "vocabulary file to write; a .json file next to it describes what it was learned from, and how well it covers"
        " text",
    )
    kind: str = option("wordpiece", "; ".join(f"{k}: {v}" for k, v in KINDS.items()), choices=tuple(KINDS))
    vocab_size: int = option(
        30522,
        "number of entries in the vocabulary, including special tokens",
        minimum=100,
        maximum=1 << 20,
        source=_BERT,
    )
    extend: str = option(
        "",
        "vocabulary to extend instead of learning a new one, as corpus --vocab takes it: its entries keep their ids;"
        " new entries replace [unused0], [unused1] ... of a WordPiece vocabulary, and the rest are appended",
    )
    add: int = option(
        2000,
        "with extend: number of entries to add, chosen as the words and pieces that save the most tokens of the text",
        minimum=1,
        maximum=1 << 20,
    )
    lower_case: bool | None = option(
        None,
        "wordpiece: lower-case and strip accents; unigram, bpe: fold case (nmt_nfkc_cf); bytebpe: lower-case; by"
        " default yes, or, with extend, as in the old vocabulary",
        source=_BERT,
    )
    special_tokens: tuple[str, ...] = option(
        (),
        "extra special tokens, such as [URL], that never result from text; they follow [PAD], [UNK], [CLS], [SEP] and"
        " [MASK]",
    )
    unused_tokens: int = option(
        0,
        "placeholders [unused0], [unused1] ... for tokens that are added later",
        minimum=0,
        maximum=1 << 20,
        source="BERT's vocabularies",
    )
    character_coverage: float = option(
        0.99999,
        "share of all characters that the vocabulary must cover; the rarest become [UNK], or bytes; bytebpe covers all",
        minimum=0.9,
        maximum=1,
        source="Kudo and Richardson, 2018, SentencePiece",
    )
    byte_fallback: bool = option(
        False, "unigram, bpe: add a piece for each byte, so that nothing becomes [UNK]", source="SentencePiece"
    )
    min_count: int = option(
        2,
        "wordpiece: minimum number of occurrences of a piece; bytebpe: of a pair of tokens",
        minimum=1,
        maximum=1 << 31,
    )
    held_out_fraction: float = option(
        0.02,
        "share of documents, chosen by their hash, that are held out to evaluate the vocabulary; with the same value"
        " as the corpus job's validation_fraction, these are its validation documents",
        minimum=0,
        maximum=0.99,
    )
    max_words: int = option(
        2_000_000,
        "maximum number of distinct words to keep, per block and in total, to limit memory; the most frequent ones"
        " are kept",
        minimum=1000,
        maximum=1 << 30,
    )
    seed: int = option(12345, "seed of the choice of held-out documents", minimum=-LARGEST_SEED, maximum=LARGEST_SEED)

    def writes(self, path: str) -> bool:
        """Returns whether a path is the output of this job, the vocabulary or its description."""
        name = self.output.rpartition("/")[2]
        own = path.rpartition("/")[2] in (name, f"{name}.json")  # Fast, and rules out most paths.
        return own and any(files.same(path, output) for output in (self.output, f"{self.output}.json"))

    def __post_init__(self) -> None:
        check_ranges(self)
        self.check_text()
        if not self.output:
            raise ConfigError("output is required", do="Set --output, or output in the config file")
        self._check_extension()
        if self.kind in ("wordpiece", "bytebpe") and self.byte_fallback:
            raise ConfigError("byte_fallback needs kind unigram or bpe", received=f"kind {self.kind}")
        if self.kind not in ("wordpiece", "bytebpe") and self.min_count != VocabConfig.min_count:
            raise ConfigError("min_count needs kind wordpiece or bytebpe", received=f"kind {self.kind}")
        wrong = [token for token in self.special_tokens if not is_reserved(token)]
        if wrong:
            raise ConfigError(
                "special_tokens must look like [URL], so that they never result from text", received=wrong[0]
            )
        twice = [t for t, n in Counter((*SPECIAL_TOKENS, *self.special_tokens)).items() if n > 1]
        if twice:
            raise ConfigError("Every special token must occur only once", received=f"{twice[0]} twice")

    def _check_extension(self) -> None:
        if not self.extend:
            if self.add != VocabConfig.add:
                raise ConfigError(
                    "add needs a vocabulary to extend",
                    do="Specify it with --extend, or set --vocab-size to learn a new one",
                )
            return
        for name in ("kind", "vocab_size", "special_tokens", "unused_tokens", "byte_fallback"):
            if getattr(self, name) != getattr(VocabConfig, name):
                raise ConfigError(
                    f"{name} cannot be used with extend",
                    received=getattr(self, name),
                    do="Omit it: the old vocabulary determines it",
                )
