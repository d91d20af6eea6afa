"""Several corpora that are read as one."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import ConfigError, CorpusError
from pipeline.reader.source import RecordSource


def check_alike(sources: Sequence[RecordSource]) -> None:
    """Checks that corpora have one vocabulary, and examples of the same shapes.

    Raises:
        CorpusError: naming the first difference.
    """
    first = sources[0]
    for other in sources[1:]:
        _check_vocabulary(first, other, "a mixture")
        ours, theirs = ([group.spec for group in source.bins] for source in (first, other))
        if ours != theirs:
            raise CorpusError(
                f"The corpora of a mixture must have examples of the same shapes, but {first.name} and {other.name}"
                " differ",
                received=f"{_described(first)}, and {_described(other)}",
                do="Make one of them again with the options of the other; the stats command shows them",
            )


def check_stages(stages: Sequence[Sequence[RecordSource]]) -> None:
    """Checks that the corpora of stages have one vocabulary and the same features, which may differ in their lengths.

    Args:
        stages: the corpora of each, those of a stage being alike.

    Raises:
        CorpusError: naming the first difference.
    """
    first = stages[0][0]
    for other, *_ in stages[1:]:
        if other.paths == first.paths:
            continue
        _check_vocabulary(first, other, "all stages")
        ours, theirs = ((source.spec.next_sentence, source.spec.packed) for source in (first, other))
        if ours != theirs:
            raise CorpusError(
                "The corpora of all stages must have examples of one kind, sentence pairs or single segments, packed"
                f" or not, but {first.name} and {other.name} differ",
                received=f"{_described(first)}, and {_described(other)}",
                do="Make one of them again with the options of the other, except for the lengths; the stats command"
                " shows them",
            )


def _check_vocabulary(first: RecordSource, other: RecordSource, of: str) -> None:
    if first.manifest is None or other.manifest is None:
        raise CorpusError(
            f"{of[0].upper()}{of[1:]} must consist of corpora, whose manifests describe their vocabularies and tokens",
            received=f"TFRecord files such as {(first if first.manifest is None else other).name}",
            do="Give the directories of finished corpora",
        )
    here, there = first.manifest.tokenizer, other.manifest.tokenizer
    if (here.sha256, here.lower_case) != (there.sha256, there.lower_case):
        what = "another vocabulary" if here.sha256 != there.sha256 else "the same vocabulary in another case"
        raise CorpusError(
            f"The corpora of {of} must share one vocabulary, but {first.name} and {other.name} differ",
            received=f"{here.vocab_file} of {here.vocab_size:,} entries, and {what} of {there.vocab_size:,}",
            do=f"Make one of them again with --vocab {first.name}/{here.vocab_file}",
        )


def _described(source: RecordSource) -> str:
    spec = source.spec
    lengths = " and ".join(str(group.spec.max_seq_length) for group in source.bins)
    kind = "sentence pairs" if spec.next_sentence else "single segments"
    masks = f"{spec.max_predictions_per_seq} predictions" if spec.masked else "masks drawn when examples are read"
    packed = f", {spec.max_sequences_per_row} at most packed in a row" * spec.packed
    return f"{kind} of {lengths} tokens with {masks}{packed} ({spec.feature_names} names)"


def example_shares(sources: Sequence[RecordSource], weights: Sequence[float]) -> list[float]:
    """Returns the share of examples that gives each corpus its share of tokens.

    Args:
        sources: the corpora.
        weights: the share of tokens of each, relative to one another; none for the tokens that each has.

    Raises:
        ConfigError: if there are not as many weights as corpora, or one is not positive.
    """
    if not weights:
        return [source.examples for source in sources]
    if len(weights) != len(sources) or min(weights) <= 0:
        raise ConfigError(
            f"A mixture of {len(sources)} corpora needs {len(sources)} weights, all above 0",
            received=", ".join(map(str, weights)),
        )
    return [weight / mean_tokens(source) for source, weight in zip(sources, weights, strict=True)]


def mean_tokens(source: RecordSource) -> float:
    """Returns the tokens of a corpus's examples in the mean, without padding."""
    paths = set(source.paths)
    manifest = source.manifest
    if manifest is None:
        return float(source.spec.max_seq_length)
    from pipeline import files

    shards = [shard for shard in manifest.shards if files.join(source.directory, shard.name) in paths]
    return sum(shard.tokens for shard in shards) / source.examples
