"""A pre-trainer's weights by the names of a family of Hugging Face's, to read or to set.

Those names are the common language here: every other format is translated into them, and from them to our variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.training.exchange.families.base import Family, next_sentence_head

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

SHAPE_ADVICE = "Leave the model's shape out of the configuration: it is then taken from what training starts from"


class Assigned(NamedTuple):
    """What came of setting weights.

    Attributes:
        missing: weights of the model that were not given and are as they were.
        lacked: the paths of their variables.
        unused: weights that were given and that the model has no place for.
    """

    missing: tuple[str, ...]
    lacked: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(family: Family, model: BertPretrainerV2) -> dict[str, np.ndarray]:
    """The weights that take part in pre-training, float32; see `Family.slots`."""
    return {slot.name: slot.read() for slot in family.slots(model)}


def assign_weights(
    family: Family, model: BertPretrainerV2, weights: Mapping[str, np.ndarray], *, source: str
) -> Assigned:
    """Sets weights.

    A pooler goes to the next-sentence head and, for fine-tuning, to the encoder's own pooler as well.

    Args:
        family: whose names the weights have.
        model: what to set them in.
        weights: by the family's names.
        source: where they come from, for messages.

    Raises:
        InputError: if a weight has another shape than the model's.
    """
    trained = list(family.slots(model))
    slots = [*trained, *family.pooler_slots(model)]
    for slot in slots:
        if slot.name not in weights:
            continue
        value = slot.as_ours(weights[slot.name])
        if value.shape != slot.shape:
            raise InputError(
                f"{slot.name} of {source} must have the model's shape, {slot.shape}",
                received=value.shape,
                do=SHAPE_ADVICE,
            )
        slot.assign(weights[slot.name])
    names = {slot.name for slot in trained}
    return Assigned(
        missing=tuple(sorted(names - weights.keys())),
        lacked=tuple(v.path for slot in trained if slot.name not in weights for v in slot.variables),
        unused=tuple(sorted(weights.keys() - names - {slot.name for slot in slots})),
    )


def use_trained_pooler(model: BertPretrainerV2) -> None:
    """Gives the encoder the pooler of the next-sentence head, which was trained, for its own, which was not.

    Only where they compute the same: a head may have another width, activation or token.
    """
    head, pooler = next_sentence_head(model), model.encoder_network.pooler_layer
    if pooler is None or head is None or head.dense is None or head.cls_token_idx:
        return
    if head.dense.activation is not pooler.activation:
        return
    if head.dense.kernel.shape == pooler.kernel.shape:
        pooler.kernel.assign(head.dense.kernel)
        pooler.bias.assign(head.dense.bias)
