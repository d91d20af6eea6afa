"""Formats examples as text, with the masks marked."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.tokenizers.base import Tokenizer

LEGEND = "[MASK:word] predicted, masked; word->other predicted, random; word(kept) predicted, unchanged"
_COLORS = {"mask": "33", "random": "31", "kept": "32", "special": "2"}  # ANSI: yellow, red, green, faint.
_WIDTH = 100
_LABELS = {
    "next-sentence": ("B follows A", "B is random"),
    "sentence-order": ("in order", "swapped"),
}


def render_example(
    examples: Examples, row: int, tokenizer: Tokenizer, *, pairing: str = "", color: bool = False
) -> str:
    """Formats one example as text.

    Args:
        examples: a batch.
        row: the row of the example in the batch.
        tokenizer: the tokenizer of the ids.
        pairing: a key of `pipeline.instances.pairings.PAIRINGS`, which gives the label its meaning; "" if unknown.
        color: whether to mark with terminal colours as well.

    Returns:
        Lines of its length and label, its segments, and its predictions with their positions. A packed row has a line
        of length and label for each of its sequences.
    """
    paint = _painter(color)
    predicted = np.flatnonzero(examples.predicted[row]).tolist()
    facts = [f"{examples.lengths[row]} of {examples.ids.shape[1]} tokens"]
    masks = f"{len(predicted)} predictions" if len(predicted) else "no mask: masks are drawn when examples are read"
    sequence = np.cumsum(examples.begins[row])
    if examples.packed:
        number = int(sequence[-1])
        lines = [", ".join([*facts, f"{number} sequence{'s' * (number != 1)}", masks])]
    else:
        lines = [", ".join([*facts, *_label(examples, row, 0, pairing), masks])]
    real, in_b = examples.ids[row] != tokenizer.special_ids["pad"], examples.type_ids[row] == 1
    for number in range(1, int(sequence[-1]) + 1):
        ours = real & (sequence == number)
        if examples.packed:
            facts = [f"  sequence {number}: {ours.sum()} tokens", *_label(examples, row, number - 1, pairing)]
            lines.append(", ".join(facts))
        for name, places in (("A", np.flatnonzero(ours & ~in_b)), ("B", np.flatnonzero(ours & in_b))):
            if len(places):
                text = " ".join(_pieces(examples, row, places.tolist(), tokenizer, paint))
                lines += _wrap(f"{name}: ", text)
    if len(predicted):
        shown = " ".join(f"{place}:{_prediction(examples, row, place, tokenizer, paint)}" for place in predicted)
        lines += _wrap("predictions: ", shown)
    return "\n".join(lines)


def _label(examples: Examples, row: int, sequence: int, pairing: str) -> list[str]:
    """Returns the label of a sequence and its meaning; nothing without pairs."""
    if examples.labels is None:
        return []
    label = int(examples.labels[row, sequence])
    meaning = _LABELS[pairing][label] if pairing in _LABELS and label in (0, 1) else ""
    return [f"label {label}" + f" ({meaning})" * bool(meaning)]


def _wrap(name: str, text: str) -> list[str]:
    # Escape sequences of colours count as text here, so lines may be wrapped a little early.
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"  {name}",
        subsequent_indent="     ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pieces(
    examples: Examples, row: int, places: Sequence[int], tokenizer: Tokenizer, paint: Callable[[str, str], str]
) -> list[str]:
    """Returns the text of a segment in pieces: predictions, and the decoded runs of tokens between them."""
    pieces: list[str] = []
    run: list[int] = []

    def close() -> None:
        if run:
            pieces.append(tokenizer.decode(run))
            run.clear()

    for place in places:
        if examples.predicted[row, place]:
            close()
            pieces.append(_prediction(examples, row, place, tokenizer, paint))
        elif examples.ordinary[row, place]:
            run.append(int(examples.ids[row, place]))
        else:
            close()
            pieces.append(paint("special", tokenizer.tokens[examples.ids[row, place]]))
    close()
    return pieces


def _prediction(
    examples: Examples, row: int, place: int, tokenizer: Tokenizer, paint: Callable[[str, str], str]
) -> str:
    original, stored = int(examples.ids[row, place]), int(examples.stored_ids[row, place])
    token = tokenizer.show(original)
    if stored == tokenizer.special_ids["mask"]:
        return paint("mask", f"[MASK:{token}]")
    if stored == original:
        return paint("kept", f"{token}(kept)")
    return paint("random", f"{token}->{tokenizer.show(stored)}")


def _painter(color: bool) -> Callable[[str, str], str]:
    def paint(kind: str, text: str) -> str:
        return f"\x1b[{_COLORS[kind]}m{text}\x1b[0m" if color else text

    return paint
