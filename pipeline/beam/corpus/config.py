"""The options of the corpus job."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

import numpy as np

from pipeline import files
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.instances.pairings import PAIRINGS, has_pairs
from pipeline.instances.rows import PACKINGS, default_max_sequences
from pipeline.manifest import MANIFEST_NAME
from pipeline.masking import UNITS, MaskingPolicy, prediction_counts
from pipeline.records.chunks import INDEX_NAME
from pipeline.records.spec import RecordSpec
from pipeline.seeding import LARGEST_SEED
from pipeline.text.config import TextConfig
from pipeline.text.duplicates import DEDUPLICATIONS
from pipeline.text.splitters import SPLITTERS, check_sentence_splitter

# Files of a corpus. Other files in its directory, such as input text, are the user's.
_OWN_NAME = re.compile(
    rf"(?:train|validation)(?:-len\d+)?-\d+-of-\d+\.tfrecord(?:\.gz)?|{re.escape(MANIFEST_NAME)}|{re.escape(INDEX_NAME)}|vocab\.txt|spm\.model|tokenizer\.json"
)
_BERT = "google-research/bert create_pretraining_data.py"


def is_own_name(name: str) -> bool:
    """Returns whether a file of a corpus may have a name: a shard, the manifest, the index or the vocabulary."""
    return bool(_OWN_NAME.fullmatch(name))


@dataclass(frozen=True, kw_only=True)
class CorpusConfig(TextConfig):
    """The options of `make_corpus`, which determine the bytes of a corpus; `docs/options.md` lists them.

    Raises:
        ConfigError: if a value is out of range, or options contradict one another.
    """

    output: str = option("", "directory for the shards, the manifest and the vocabulary")
    vocab: str = option(
        "",
        "vocabulary: one WordPiece token per line, a SentencePiece model, or a tokenizer.json; or the folder of a"
        " model, or a model of the Hugging Face hub (owner/name), whose vocabulary it is",
    )
    dedup: str = option(
        "none",
        "; ".join(f"{name}: {what}" for name, what in DEDUPLICATIONS.items()) + "; reads the input twice",
        choices=tuple(DEDUPLICATIONS),
        source="near: MinHash, Broder, 1997",
    )
    sentence_splitter: str = option(
        "auto",
        f"{'; '.join(f'{name}: {what}' for name, what in SPLITTERS.items())}; or"
        " package.module:function, which takes a document and returns the list of its sentences",
    )
    lower_case: bool | None = option(
        None,
        "lower-case and strip accents; by default, as a file beside the vocabulary states (its .json, a manifest,"
        " tokenizer_config.json), or, without such a file, if its entries have lower-case letters, no capitals and no"
        " accents",
        source=_BERT,
    )
    max_seq_length: int = option(
        128,
        "length of an example, or of a packed row, in tokens, including special tokens and padding",
        minimum=1,
        maximum=32768,
        source=_BERT,
    )
    max_predictions_per_seq: int | None = option(
        None,
        "maximum number of predictions per example, or per packed row; by default, masked_lm_prob times"
        " max_seq_length, rounded up: 20 for 128, 77 for 512",
        minimum=1,
        maximum=32768,
        source=_BERT,
    )
    masked_lm_prob: float = option(
        0.15, "share of tokens to predict, above 0", minimum=0, maximum=1, source="Devlin et al., 2019"
    )
    pairing: str = option("next-sentence", "; ".join(f"{k}: {v}" for k, v in PAIRINGS.items()), choices=tuple(PAIRINGS))
    masking: str = option(
        "static",
        "static: mask the examples when they are written; dynamic: mask them when they are read, differently in every"
        " epoch (Liu et al., 2019, RoBERTa)",
        choices=("static", "dynamic"),
    )
    masking_unit: str = option("token", "; ".join(f"{k}: {v}" for k, v in UNITS.items()), choices=tuple(UNITS))
    max_ngram_size: int = option(
        3, "maximum number of words in an n-gram, with --masking-unit ngram", minimum=1, maximum=64, source="ALBERT"
    )
    mask_prob: float = option(
        0.8, "probability that a predicted unit becomes [MASK]", minimum=0, maximum=1, source="Devlin et al., 2019"
    )
    random_prob: float = option(
        0.1,
        "probability that a predicted unit becomes random tokens; otherwise it is left unchanged",
        minimum=0,
        maximum=1,
        source="Devlin et al., 2019",
    )
    short_seq_prob: float = option(
        0.1,
        "probability that the examples of a document have a random, shorter target length; with packing, chosen for"
        " each pair",
        minimum=0,
        maximum=1,
        source=_BERT,
    )
    dupe_factor: int = option(
        0,
        "copies of the training text, each with new pairs and masks; 0 means 5, or 1 with dynamic masking",
        minimum=0,
        maximum=1000,
        source=_BERT,
    )
    validation_fraction: float = option(
        0.02, "share of documents, chosen by their hash, for the validation shards", minimum=0, maximum=0.99
    )
    bins: tuple[int, ...] = option(
        (),
        "ascending lengths, the last of which is max_seq_length: each example goes to the shards of the shortest"
        " length that fits it",
    )
    packing: str = option(
        "none",
        f"{'; '.join(f'{name}: {what}' for name, what in PACKINGS.items())}, which leaves almost no padding;"
        " full-sentences and doc-sentences then cut the sentence that does not fit. With bins, there is little to"
        " pack: two examples of a bin rarely fit into a row of its length",
        choices=tuple(PACKINGS),
        source="Krell et al., 2021",
    )
    max_sequences_per_row: int | None = option(
        None,
        "with packing: maximum number of examples in a row; with pairs, also its number of label slots. By default,"
        " one for every 8 tokens of max_seq_length, or every 16 with pairs (16 or 8 for 128), which rows of prose do"
        " not reach",
        minimum=1,
        maximum=32768,
    )
    feature_names: str = option(
        "v2",
        "v2: tensorflow/models' names; v1: google-research/bert's, input_ids and segment_ids",
        choices=("v1", "v2"),
    )
    compression: str = option("none", "compression of the shards", choices=("none", "gzip"))
    seed: int = option(12345, "seed of all random choices", minimum=-LARGEST_SEED, maximum=LARGEST_SEED, source=_BERT)

    def __post_init__(self) -> None:
        check_ranges(self)
        self.check_text()
        for name in ("output", "vocab"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is required", do=f"Set --{name}, or {name} in the config file")
        check_sentence_splitter(self.sentence_splitter)
        if self.bins and (list(self.bins) != sorted(set(self.bins)) or self.bins[-1] != self.max_seq_length):
            raise ConfigError(
                f"bins must be ascending lengths that end with max_seq_length ({self.max_seq_length})",
                received=", ".join(map(str, self.bins)),
            )
        self.specs()
        self.masking_policy()

    def writes(self, path: str) -> bool:
        """Returns whether a path is a shard, the manifest or the vocabulary of a corpus in the output directory."""
        folder, _, name = path.rpartition("/")
        return is_own_name(name) and files.same(folder or ".", self.output)

    def copies(self) -> int:
        """Returns the number of copies of the training text to make."""
        return self.dupe_factor or (1 if self.masking == "dynamic" else 5)

    def prediction_room(self) -> int:
        """Returns the room for predictions in an example of full length."""
        # Tolerates rounding errors if the product is meant to be a whole number.
        needed = math.ceil(self.max_seq_length * self.masked_lm_prob - 1e-9)
        return self.max_predictions_per_seq or max(1, needed)

    def most_sequences(self) -> int:
        """Returns how many sequences a row may hold; 0 if rows are not packed."""
        if self.packing == "none":
            return 0
        return self.max_sequences_per_row or default_max_sequences(self.max_seq_length, pairs=has_pairs(self.pairing))

    def masking_policy(self) -> MaskingPolicy:
        """Returns the policy for masking examples.

        Raises:
            ConfigError: if the rates are invalid.
        """
        return MaskingPolicy(
            max_predictions_per_seq=self.prediction_room(),
            masked_lm_prob=self.masked_lm_prob,
            unit=self.masking_unit,
            max_ngram_size=self.max_ngram_size,
            mask_prob=self.mask_prob,
            random_prob=self.random_prob,
        )

    def specs(self) -> list[RecordSpec]:
        """Returns the shapes of the examples: one for each bin of lengths, the longest last.

        Shorter bins have only as much room for predictions as their examples can fill.

        Raises:
            ConfigError: if the lengths contradict each other.
        """
        longest = RecordSpec(
            self.max_seq_length,
            self.prediction_room(),
            next_sentence=has_pairs(self.pairing),
            masked=self.masking == "static",
            feature_names=self.feature_names,
            max_sequences_per_row=self.most_sequences(),
        )
        shorter = np.array(self.bins[:-1], np.int64)
        predictions = prediction_counts(shorter, self.masking_policy())
        return [
            *(
                dataclasses.replace(longest, max_seq_length=int(length), max_predictions_per_seq=int(most))
                for length, most in zip(shorter, predictions, strict=True)
            ),
            longest,
        ]
