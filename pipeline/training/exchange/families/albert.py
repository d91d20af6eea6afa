"""Hugging Face's ALBERT: `AlbertForPreTraining`, `AlbertForMaskedLM`, `AlbertModel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families import numpy_layers as layers
from pipeline.training.exchange.families.base import NEXT_SENTENCE, SAVED_MODEL_ADVICE, next_sentence_head
from pipeline.training.exchange.families.bert import ENCODER_NAMES, Bert
from pipeline.training.exchange.families.slots import Slot, dense_slots, norm_slots

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0"
_PROJECTION = "albert.encoder.embedding_hidden_mapping_in"


class Albert(Bert):
    """ALBERT, https://arxiv.org/abs/1909.11942, with the names of transformers' modeling_albert.py.

    One block is applied repeatedly. Its sentence-order head is this project's next-sentence head.
    """

    model_type = "albert"
    title = "ALBERT"
    encoder_type = "albert"
    encoder_names: ClassVar[Mapping[str, str]] = {**ENCODER_NAMES, "embedding_size": "embedding_size"}
    default_activation = "gelu_new"
    prefix = "albert."
    mlm_head = ("predictions.",)
    next_sentence = "sop_classifier.classifier"
    pooler = "albert.pooler"
    copies: ClassVar[Mapping[str, str]] = {
        "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
        "predictions.decoder.bias": "predictions.bias",
    }
    fixed: ClassVar[Mapping[str, Any]] = {
        "position_embedding_type": "absolute",
        "num_hidden_groups": 1,
        "inner_group_num": 1,
        "tie_word_embeddings": True,
    }
    # Hugging Face's defaults are those of the largest ALBERT.
    required = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

    def to_config(self, config: PretrainerConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
        encoder = self.check_encoder(config)
        self.refuse_unless([("mlm_activation", config.mlm_activation, encoder.hidden_activation)])
        if encoder.embedding_size in (None, encoder.hidden_size):
            raise ConfigError(
                "Hugging Face's ALBERT supports only an embedding_size other than hidden_size",
                received=encoder.embedding_size,
                do=SAVED_MODEL_ADVICE,
            )
        return {
            "architectures": ["AlbertForPreTraining" if config.has_head(NEXT_SENTENCE) else "AlbertForMaskedLM"],
            **self.encoder_values(encoder),
            "num_hidden_groups": 1,
            "inner_group_num": 1,
            "pad_token_id": special_ids["pad"],
            "bos_token_id": special_ids["cls"],
            "eos_token_id": special_ids["sep"],
        }

    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        config = super().from_config(values, source=source, has_next_sentence=has_next_sentence)
        if values.get("embedding_size") == values["hidden_size"]:  # Ours then has no projection.
            raise InputError(
                f"embedding_size in {source} must differ from hidden_size", received=values["embedding_size"]
            )
        return config

    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        encoder = model.encoder_network
        (block,) = encoder.transformer_layers
        attention = block.self_attention
        yield Slot("albert.embeddings.word_embeddings.weight", (encoder.word_embeddings.embeddings,))
        yield Slot("albert.embeddings.position_embeddings.weight", (encoder.position_embedding.embeddings,))
        yield Slot("albert.embeddings.token_type_embeddings.weight", (encoder.type_embeddings.embeddings,))
        yield from norm_slots("albert.embeddings.LayerNorm", encoder.embeddings_layer_norm)
        yield from dense_slots(_PROJECTION, encoder.embedding_projection)
        yield from dense_slots(f"{_LAYER}.attention.query", attention.query_dense)
        yield from dense_slots(f"{_LAYER}.attention.key", attention.key_dense)
        yield from dense_slots(f"{_LAYER}.attention.value", attention.value_dense)
        yield from dense_slots(f"{_LAYER}.attention.dense", attention.attention_output_dense)
        yield from norm_slots(f"{_LAYER}.attention.LayerNorm", block.attention_layer_norm)
        yield from dense_slots(f"{_LAYER}.ffn", block.intermediate_dense)
        yield from dense_slots(f"{_LAYER}.ffn_output", block.output_dense)
        yield from norm_slots(f"{_LAYER}.full_layer_layer_norm", block.output_layer_norm)
        head = next_sentence_head(model)
        if head is not None:
            yield from dense_slots("albert.pooler", head.dense)
            yield from dense_slots("sop_classifier.classifier", head.out_proj)
        yield from dense_slots("predictions.dense", model.masked_lm.dense)
        yield from norm_slots("predictions.LayerNorm", model.masked_lm.layer_norm)
        yield Slot("predictions.bias", (model.masked_lm.bias,))

    def compute(
        self,
        config: Mapping[str, Any],
        weights: layers.Weights,
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
        activation = layers.ACTIVATIONS[config["hidden_act"]]
        ids = batch["input_ids"]
        table = layers.get(weights, "albert.embeddings.word_embeddings.weight")
        x = table[ids] + layers.get(weights, "albert.embeddings.position_embeddings.weight")[: ids.shape[1]]
        x = x + layers.get(weights, "albert.embeddings.token_type_embeddings.weight")[batch["token_type_ids"]]
        x = layers.layer_norm(weights, "albert.embeddings.LayerNorm", x, eps)
        x = layers.linear(weights, "albert.encoder.embedding_hidden_mapping_in", x)
        blocked = layers.blocked_by(batch["attention_mask"])
        for _ in range(config["num_hidden_layers"]):
            query, key, value = (
                layers.split_heads(layers.linear(weights, f"{_LAYER}.attention.{part}", x), heads)
                for part in ("query", "key", "value")
            )
            attended = layers.linear(weights, f"{_LAYER}.attention.dense", layers.attend(query, key, value, blocked))
            x = layers.layer_norm(weights, f"{_LAYER}.attention.LayerNorm", x + attended, eps)
            inner = activation(layers.linear(weights, f"{_LAYER}.ffn", x))
            inner = layers.linear(weights, f"{_LAYER}.ffn_output", inner)
            x = layers.layer_norm(weights, f"{_LAYER}.full_layer_layer_norm", x + inner, eps)
        hidden = activation(layers.linear(weights, "predictions.dense", layers.at(x, positions)))
        hidden = layers.layer_norm(weights, "predictions.LayerNorm", hidden, eps)
        outputs = {"prediction_logits": hidden @ table.T + layers.get(weights, "predictions.bias")}
        if "sop_classifier.classifier.weight" in weights:
            pooled = np.tanh(layers.linear(weights, "albert.pooler", x[:, 0]))
            outputs["seq_relationship_logits"] = layers.linear(weights, "sop_classifier.classifier", pooled)
        return outputs
