"""Reads and sets a pre-trainer's weights by the names of a Hugging Face family.

Every other format is first translated to these names, and these to the model's variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.training.exchange.families.base import Family, next_sentence_head

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

SHAPE_ADVICE = "Leave the sizes out of the configuration: they are then those of the model that training starts from"


class Assigned(NamedTuple):
    """The result of setting weights.

    Attributes:
        missing: weights of the model that were not given and are unchanged.
        lacked: the paths of their variables.
        unused: given weights that the model does not have.
    """

    missing: tuple[str, ...]
    lacked: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(family: Family, model: BertPretrainerV2) -> dict[str, np.ndarray]:
    """Returns the weights that pre-training uses, float32; see `Family.slots`."""
    return {slot.name: slot.read() for slot in family.slots(model)}


def assign_weights(
    family: Family, model: BertPretrainerV2, weights: Mapping[str, np.ndarray], *, source: str
) -> Assigned:
    """Sets a model's weights.

    A pooler is assigned to the next-sentence head and, for fine-tuning, also to the encoder's own pooler.

    Args:
        family: the family whose names the weights have.
        model: the model.
        weights: the weights, by the family's names.
        source: where they come from, for messages.

    Raises:
        InputError: if the shape of a weight differs from the model's.
    """
    trained = list(family.slots(model))
    slots = [*trained, *family.pooler_slots(model)]
    for slot in slots:
        if slot.name not in weights:
            continue
        value = slot.as_ours(weights[slot.name])
        if value.shape != slot.shape:
            raise InputError(
                f"{slot.name} of {source} must have the shape {slot.shape}, as in the model",
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
    """Copies the pooler of the next-sentence head, which was trained, to the encoder's own, which was not.

    Does nothing if they do not compute the same: a head may have another width, activation or token.
    """
    head, pooler = next_sentence_head(model), model.encoder_network.pooler_layer
    if pooler is None or head is None or head.dense is None or head.cls_token_idx:
        return
    if head.dense.activation is not pooler.activation:
        return
    if head.dense.kernel.shape == pooler.kernel.shape:
        pooler.kernel.assign(head.dense.kernel)
        pooler.bias.assign(head.dense.bias)
