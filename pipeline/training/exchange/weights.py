"""A pre-trainer's weights by the names of Hugging Face's `BertForPreTraining`, to read or to set.

Those names are the common language here: every other format is translated into them, and from them to our variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

NEXT_SENTENCE = "next_sentence"
POOLER = "bert.pooler.dense"
SEQ_RELATIONSHIP = "cls.seq_relationship"
MLM_HEAD = "cls.predictions"
SHAPE_ADVICE = "Leave the model's shape out of the configuration: it is then taken from what training starts from"


class _Slot(NamedTuple):
    """A variable and its name; PyTorch keeps the matrix of a dense layer as `[out, in]`, Keras as `[in, out]`."""

    name: str
    variable: Any
    transposed: bool = False


class Assigned(NamedTuple):
    """What came of setting weights.

    Attributes:
        missing: weights of the model that were not given and are as they were.
        unused: weights that were given and that the model has no place for.
    """

    missing: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(model: BertPretrainerV2) -> dict[str, np.ndarray]:
    """The weights that take part in pre-training, float32.

    The pooler is the next-sentence head's, which is the trained one; without that head there is none.
    """
    weights = {}
    for slot in _slots(model):
        value = np.asarray(slot.variable, np.float32)
        weights[slot.name] = np.ascontiguousarray(value.T) if slot.transposed else value
    return weights


def assign_weights(model: BertPretrainerV2, weights: Mapping[str, np.ndarray], *, source: str) -> Assigned:
    """Sets weights.

    A pooler goes to the next-sentence head and, for fine-tuning, to the encoder's own pooler as well.

    Args:
        model: what to set them in.
        weights: by Hugging Face's names.
        source: where they come from, for messages.

    Raises:
        InputError: if a weight has another shape than the model's.
    """
    slots = [*_slots(model), *_dense(POOLER, model.encoder_network.pooler_layer)]
    for slot in slots:
        if slot.name not in weights:
            continue
        value = weights[slot.name].T if slot.transposed else weights[slot.name]
        if value.shape != tuple(slot.variable.shape):
            raise InputError(
                f"{slot.name} of {source} must have the model's shape, {tuple(slot.variable.shape)}",
                received=value.shape,
                do=SHAPE_ADVICE,
            )
        slot.variable.assign(value.astype(np.float32))
    names = {slot.name for slot in _slots(model)}
    return Assigned(
        missing=tuple(sorted(names - weights.keys())),
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


def next_sentence_head(model: BertPretrainerV2) -> Any:
    """The next-sentence head; None if the model has none."""
    return next((head for head in model.classification_heads if head.name == NEXT_SENTENCE), None)


def _slots(model: BertPretrainerV2) -> Iterator[_Slot]:
    encoder = model.encoder_network
    embeddings = "bert.embeddings"
    yield _Slot(f"{embeddings}.word_embeddings.weight", encoder.word_embeddings.embeddings)
    yield _Slot(f"{embeddings}.position_embeddings.weight", encoder.position_embedding.embeddings)
    yield _Slot(f"{embeddings}.token_type_embeddings.weight", encoder.type_embeddings.embeddings)
    yield from _layer_norm(f"{embeddings}.LayerNorm", encoder.embeddings_layer_norm)
    if encoder.embedding_projection is not None:  # Of narrower embeddings, which Hugging Face's BERT has not.
        yield from _dense("bert.embeddings_project", encoder.embedding_projection)
    for index, block in enumerate(encoder.transformer_layers):
        layer, attention = f"bert.encoder.layer.{index}", block.self_attention
        yield from _dense(f"{layer}.attention.self.query", attention.query_dense)
        yield from _dense(f"{layer}.attention.self.key", attention.key_dense)
        yield from _dense(f"{layer}.attention.self.value", attention.value_dense)
        yield from _dense(f"{layer}.attention.output.dense", attention.attention_output_dense)
        yield from _layer_norm(f"{layer}.attention.output.LayerNorm", block.attention_layer_norm)
        yield from _dense(f"{layer}.intermediate.dense", block.intermediate_dense)
        yield from _dense(f"{layer}.output.dense", block.output_dense)
        yield from _layer_norm(f"{layer}.output.LayerNorm", block.output_layer_norm)
    head = next_sentence_head(model)
    if head is not None:
        yield from _dense(POOLER, head.dense)
        yield from _dense(SEQ_RELATIONSHIP, head.out_proj)
    yield from _dense(f"{MLM_HEAD}.transform.dense", model.masked_lm.dense)
    yield from _layer_norm(f"{MLM_HEAD}.transform.LayerNorm", model.masked_lm.layer_norm)
    yield _Slot(f"{MLM_HEAD}.bias", model.masked_lm.bias)


def _dense(name: str, layer: Any) -> Iterator[_Slot]:
    yield _Slot(f"{name}.weight", layer.kernel, transposed=True)
    yield _Slot(f"{name}.bias", layer.bias)


def _layer_norm(name: str, layer: Any) -> Iterator[_Slot]:
    yield _Slot(f"{name}.weight", layer.gamma)
    yield _Slot(f"{name}.bias", layer.beta)
