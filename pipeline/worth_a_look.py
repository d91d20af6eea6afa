"""Notes on what may not be as intended, although nothing failed: derived from the counts at the end of a run.

docs/inspection.md lists the notes with their limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_HUGE_DOCUMENT = 1_000_000  # Characters, on average.
_LONG_SENTENCE = 500  # Characters, on average.
_FEW_PREDICTIONS = 500  # Of a validation set.
# Shares above which there is a note.
_WITHIN_DOCUMENT = 0.01  # Random next sentences from A's own document.
_LABEL_1 = 0.75  # Pairs.
_UNKNOWN = 0.02  # Tokens.
_REPLACED = 0.001  # Characters that replace invalid UTF-8.
_REMOVED = 0.01  # Control characters.
_TRUNCATED = 0.25  # Tokens.
_PADDING = 0.05  # Positions of packed rows, if there are so many rows that the last ones do not matter.
_MANY_ROWS = 1000
_DROPPED = 0.2  # Documents.
_HOLDING_SEPARATOR = 0.01  # Documents.


def corpus_notes(
    options: Mapping[str, Any], statistics: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Returns the notes on a corpus.

    Args:
        options: a manifest's options.
        statistics: its statistics.
        inputs: its inputs.

    Returns:
        The notes, each a few sentences without line ends; none for a corpus of ordinary text.
    """
    return (
        *_of_documents(options, statistics["text"], inputs),
        *_of_characters(options, statistics["text"]),
        *_of_examples(options, statistics["train"]),
        *_of_validation(options, statistics),
    )


def vocabulary_notes(
    *,
    asked: int,
    entries: int,
    kind: str,
    min_count: int,
    unknown_share: float,
    strips_marks: str,
    adds: tuple[int, int] | None = None,
) -> tuple[str, ...]:
    """Returns the notes on a learned vocabulary.

    Args:
        asked: the number of entries asked for.
        entries: the number of entries it has.
        kind: a key of `pipeline.tokenizers.learning.learn.KINDS`.
        min_count: minimum number of occurrences of a WordPiece piece, or of a pair of tokens of a byte-level BPE.
        unknown_share: the share of [UNK] among the tokens of held-out text.
        strips_marks: a word of scripts without case that lower-casing changes; "" if it changes almost none.
        adds: of a vocabulary that was extended, how many entries were to be added, and how many were.
    """
    notes = []
    if adds is not None and adds[1] < adds[0]:
        notes.append(
            f"{adds[1]:,} entries were added instead of {adds[0]:,}: no further words or pieces that occur at least"
            f" {min_count} times (--min-count) save a token. More text yields more entries."
        )
    if entries < asked:
        fewest = f" that occur at least {min_count} times (--min-count)" * (kind in ("wordpiece", "bytebpe"))
        notes.append(
            f"The vocabulary has {entries:,} entries instead of {asked:,}: the text has no further pieces{fewest}. A"
            f" model with a vocab_size of {asked:,} does not match it; more text yields more entries."
        )
    if unknown_share > _UNKNOWN:
        notes.append(
            f"{unknown_share:.1%} of the tokens of held-out text are [UNK]: learn from text like it, or raise"
            " --character-coverage."
        )
    if strips_marks:
        notes.append(
            f"Lower-casing also strips the marks of scripts without case: {strips_marks}. --no-lower-case keeps them."
        )
    return tuple(notes)


def render(notes: Iterable[str]) -> str:
    """Formats notes under their heading; "" if there are none."""
    lines = [f"  - {note}" for note in notes]
    return "\n".join(["Worth a look", *lines]) if lines else ""


def _of_documents(
    options: Mapping[str, Any], text: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    read, characters, cuts = (text.get(name, 0) for name in ("documents_read", "characters", "documents_cut"))
    documents = max(1, read - cuts)  # A document that is cut counts as two.
    separator = options["document_separator"]
    what_separates = f"the separator {separator!r}" if separator else "a blank line"
    if not separator and {info.get("format") for info in inputs} == {"wrapped"}:
        what_separates = "three blank lines (the text was taken for prose in lines of limited width; see --format)"
    holding = text.get("documents_with_separator", 0)
    if documents == 1:
        yield (
            f"The whole input is one document: documents must be separated by {what_separates}. For one document per"
            r" line, use --document-separator '\n'."
        )
    elif separator and documents <= sum(info.get("files", 1) for info in inputs):
        yield f"Every file is one document: within a file, documents must be separated by {what_separates}."
    elif characters > _HUGE_DOCUMENT * documents:
        yield (
            f"The {documents:,} documents are huge, {characters // documents:,} characters each on average: are they"
            f" separated by {what_separates}?"
        )
    if holding > _HOLDING_SEPARATOR * read:
        mark = separator or "<|endoftext|>"
        yield (
            f"{mark!r} occurs within lines of {_number(holding, 'document')} and is taken as text there. A separator"
            " must be on a line of its own: insert line breaks around it, and specify it with --document-separator."
        )
    dropped = {reason: number for reason, number in text.get("dropped", {}).items() if "duplicate" not in reason}
    if sum(dropped.values()) > _DROPPED * read:
        reasons = ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in dropped.items() if number)
        note = f"{sum(dropped.values()) / read:.0%} of the documents were dropped: {reasons}"
        if samples := text.get("dropped_samples", {}).get(max(dropped, key=lambda reason: dropped[reason])):
            note += f", such as {samples[0]['place']} of {samples[0]['file']}"
        yield f"{note}."


def _of_characters(options: Mapping[str, Any], text: Mapping[str, Any]) -> Iterator[str]:
    characters = text.get("characters", 0)
    replaced = text.get("characters_replaced", 0)
    if replaced > _REPLACED * characters:
        yield (
            f"{replaced:,} bytes ({replaced / characters:.1%} of the characters) were not valid UTF-8 and became"
            " U+FFFD: is the text in another encoding, such as Latin-1? Convert it with iconv -f ENCODING -t UTF-8."
        )
    removed = text.get("characters_removed", 0)
    if removed > _REMOVED * characters:
        yield (
            f"{removed:,} control characters were removed, {removed / characters:.1%} of the text: does the input"
            " contain anything but text?"
        )
    sentences = text.get("sentences", 0)
    if options["sentence_splitter"] != "none" and characters > _LONG_SENTENCE * sentences:
        yield (
            f"Sentences have {characters // max(1, sentences):,} characters on average: neither text without full stops"
            " nor lines of BERT's format are split. See --sentence-splitter and --format."
        )


def _of_examples(options: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    tokens, label_1 = train.get("tokens", 0), train.get("label_1", 0)
    if options["pairing"] == "next-sentence":
        within = train.get("pairs_within_document", 0)
        if within > _WITHIN_DOCUMENT * label_1:
            yield (
                f"{within / label_1:.0%} of the random next sentences come from the same document, because there was"
                " no other: their label is less meaningful."
            )
        if train.get("label_1_share", 0) > _LABEL_1:
            yield (
                f"{train['label_1_share']:.0%} of the pairs have label 1, a random next sentence: most documents have"
                " only one sentence. Next sentences cannot be learned from them; see --pairing."
            )
    if train.get("unknown_share", 0) > _UNKNOWN:
        yield (
            f"{train['unknown_share']:.1%} of the tokens are [UNK]: the vocabulary does not match the text. Was it"
            " made for this language and casing (--lower-case)?"
        )
    truncated = train.get("tokens_truncated", 0)
    if truncated > _TRUNCATED * (tokens + truncated):
        yield (
            f"{truncated / (tokens + truncated):.0%} of the tokens were truncated: sentences are longer than examples"
            f" of {options['max_seq_length']} tokens. Was the text split into sentences?"
        )
    if train.get("sequences") and train["examples"] > _MANY_ROWS and train["padding_share"] > _PADDING:
        yield (
            f"{train['padding_share']:.0%} of the packed rows are padding ({train['padding_unpacked_share']:.0%}"
            " without packing): too few examples are short enough to fill them. Omit --bins, and see"
            " --max-sequences-per-row."
        )


def _of_validation(options: Mapping[str, Any], statistics: Mapping[str, Any]) -> Iterator[str]:
    fraction = options["validation_fraction"]
    if not fraction:
        return
    validation = statistics["validation"]
    if not validation.get("examples"):
        yield (
            "No document was selected for validation, which can happen with"
            f" {_number(statistics['text'].get('documents', 0), 'document')} and a validation_fraction of {fraction}."
            " Raise --validation-fraction."
        )
        return
    predictions = int(validation.get("tokens", 0) * options["masked_lm_prob"])
    if predictions < _FEW_PREDICTIONS:
        yield (
            f"The validation set has about {_number(predictions, 'prediction')}, from"
            f" {_number(validation.get('documents', 0), 'document')}: too few for a reliable loss, although training"
            " uses it to select the best model. Raise --validation-fraction."
        )


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
