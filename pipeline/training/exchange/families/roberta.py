"""Hugging Face's RoBERTa and XLM-RoBERTa: `RobertaForMaskedLM`, `XLMRobertaForMaskedLM` and their encoders alone.

They are BERT with another head, and with unused rows at the beginning of the position table: the row of the first token
is `pad_token_id + 1`, as in fairseq, where padding has its own position.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families import numpy_layers as layers
from pipeline.training.exchange.families.base import refuse_next_sentence
from pipeline.training.exchange.families.bert import Bert, encode
from pipeline.training.exchange.families.slots import Slot, dense_slots, norm_slots

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

_POSITIONS = "roberta.embeddings.position_embeddings.weight"


class Roberta(Bert):
    """RoBERTa, https://arxiv.org/abs/1907.11692, with the names of transformers' modeling_roberta.py."""

    model_type = "roberta"
    title = "RoBERTa"
    architecture = "RobertaForMaskedLM"
    prefix = "roberta."
    mlm_head = ("lm_head.",)
    next_sentence = None
    pooler = "roberta.pooler.dense"
    copies: ClassVar[Mapping[str, str]] = {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }

    def to_config(self, config: PretrainerConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
        encoder = self.check_encoder(config)
        # Hugging Face's head has only this activation.
        self.refuse_unless([("mlm_activation", config.mlm_activation, "gelu_exact")])
        refuse_next_sentence(self, config, "Export it with --architecture bert, or train without model.cls_heads")
        pad_id = special_ids["pad"]
        return {
            "architectures": [self.architecture],
            **self.encoder_values(encoder),
            "max_position_embeddings": encoder.max_position_embeddings + pad_id + 1,
            "pad_token_id": pad_id,
            "bos_token_id": special_ids["cls"],
            "eos_token_id": special_ids["sep"],
        }

    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        first = _first_row(values, source)
        table = values.get("max_position_embeddings", 512)
        if not isinstance(table, int) or table <= first:
            raise InputError(
                f"max_position_embeddings in {source} must be greater than pad_token_id + 1, {first}",
                received=repr(table),
            )
        shorter = {**values, "max_position_embeddings": table - first}
        config = super().from_config(shorter, source=source, has_next_sentence=False)
        return dataclasses.replace(config, mlm_activation="gelu_exact")

    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        yield from self.encoder_slots(model.encoder_network)
        yield from dense_slots("lm_head.dense", model.masked_lm.dense)
        yield from norm_slots("lm_head.layer_norm", model.masked_lm.layer_norm)
        yield Slot("lm_head.bias", (model.masked_lm.bias,))

    def to_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        rows = config["pad_token_id"] + 1
        return {**weights, _POSITIONS: np.pad(weights[_POSITIONS], ((rows, 0), (0, 0)))}

    def from_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if _POSITIONS not in weights:
            return weights
        return {**weights, _POSITIONS: weights[_POSITIONS][_first_row(config, "config.json") :]}

    def compute(
        self,
        config: Mapping[str, Any],
        weights: layers.Weights,
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        pad_id = config["pad_token_id"]
        real = batch["input_ids"] != pad_id
        places = np.cumsum(real, axis=1) * real + pad_id
        x = encode(config, weights, batch, places, name="roberta")
        hidden = layers.ACTIVATIONS["gelu"](layers.linear(weights, "lm_head.dense", layers.at(x, positions)))
        hidden = layers.layer_norm(weights, "lm_head.layer_norm", hidden, config["layer_norm_eps"])
        table = layers.get(weights, "roberta.embeddings.word_embeddings.weight")
        return {"prediction_logits": hidden @ table.T + layers.get(weights, "lm_head.bias")}


class XlmRoberta(Roberta):
    """XLM-RoBERTa, https://arxiv.org/abs/1911.02116, which has the architecture of RoBERTa."""

    model_type = "xlm-roberta"
    title = "XLM-RoBERTa"
    architecture = "XLMRobertaForMaskedLM"


def _first_row(values: Mapping[str, Any], source: str) -> int:
    """Returns the row of the position table for the first token."""
    pad_id = values.get("pad_token_id", 1)
    if not isinstance(pad_id, int) or pad_id < 0:
        raise InputError(f"pad_token_id in {source} must be a token's id", received=repr(pad_id))
    return pad_id + 1
