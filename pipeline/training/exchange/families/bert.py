"""Hugging Face's BERT: `BertForPreTraining`, `BertForMaskedLM`, `BertModel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import ConfigError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.exchange.families import numpy_layers as layers
from pipeline.training.exchange.families.base import (
    NEXT_SENTENCE,
    SAVED_MODEL_ADVICE,
    Family,
    describing,
    next_sentence_head,
    our_activation,
)
from pipeline.training.exchange.families.slots import Slot, dense_slots, norm_slots

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

# This project's names of options, by Hugging Face's.
ENCODER_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "hidden_dropout_prob": "dropout_rate",
    "attention_probs_dropout_prob": "attention_dropout_rate",
    "max_position_embeddings": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_epsilon",
}


class Bert(Family):
    """BERT, https://arxiv.org/abs/1810.04805, with the names of transformers' modeling_bert.py."""

    model_type = "bert"
    title = "BERT"
    encoder_type: ClassVar[str] = "bert"
    encoder_names: ClassVar[Mapping[str, str]] = ENCODER_NAMES
    default_activation: ClassVar[str] = "gelu"
    prefix = "bert."
    mlm_head = ("cls.predictions.",)
    next_sentence: ClassVar[str | None] = "cls.seq_relationship"
    pooler: ClassVar[str | None] = "bert.pooler.dense"
    copies: ClassVar[Mapping[str, str]] = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    fixed: ClassVar[Mapping[str, Any]] = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    }

    def to_config(self, config: PretrainerConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
        encoder = self.check_encoder(config)
        self.refuse_unless([("mlm_activation", config.mlm_activation, encoder.hidden_activation)])
        return {
            "architectures": ["BertForPreTraining" if config.has_head(NEXT_SENTENCE) else "BertForMaskedLM"],
            **self.encoder_values(encoder),
            "pad_token_id": special_ids["pad"],
        }

    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        self.check_config(values, source)
        activation = our_activation(values, "hidden_act", default=self.default_activation, source=source)
        encoder = {ours: values[theirs] for theirs, ours in self.encoder_names.items() if theirs in values}
        return make_config(
            {"type": self.encoder_type, **encoder},
            activation=activation,
            has_next_sentence=has_next_sentence,
            source=source,
        )

    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        yield from self.encoder_slots(model.encoder_network)
        head = next_sentence_head(model)
        if head is not None:
            yield from dense_slots("bert.pooler.dense", head.dense)
            yield from dense_slots("cls.seq_relationship", head.out_proj)
        yield from dense_slots("cls.predictions.transform.dense", model.masked_lm.dense)
        yield from norm_slots("cls.predictions.transform.LayerNorm", model.masked_lm.layer_norm)
        yield Slot("cls.predictions.bias", (model.masked_lm.bias,))

    def compute(
        self,
        config: Mapping[str, Any],
        weights: layers.Weights,
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        eps, activation = config["layer_norm_eps"], layers.ACTIVATIONS[config["hidden_act"]]
        places = np.broadcast_to(np.arange(batch["input_ids"].shape[1]), batch["input_ids"].shape)
        x = encode(config, weights, batch, places, name="bert")
        hidden = activation(layers.linear(weights, "cls.predictions.transform.dense", layers.at(x, positions)))
        hidden = layers.layer_norm(weights, "cls.predictions.transform.LayerNorm", hidden, eps)
        table = layers.get(weights, "bert.embeddings.word_embeddings.weight")
        outputs = {"prediction_logits": hidden @ table.T + layers.get(weights, "cls.predictions.bias")}
        if "cls.seq_relationship.weight" in weights:
            pooled = np.tanh(layers.linear(weights, "bert.pooler.dense", x[:, 0]))
            outputs["seq_relationship_logits"] = layers.linear(weights, "cls.seq_relationship", pooled)
        return outputs

    # === Common to BERT and related families ===

    def check_encoder(self, config: PretrainerConfig) -> EncoderConfig:
        """Refuses models that these families cannot compute; returns the encoder's configuration."""
        encoder = config.encoder
        if not isinstance(encoder, EncoderConfig):
            raise ConfigError(
                f"Hugging Face's {self.title} supports only encoder.type {self.encoder_type!r}",
                received=repr(encoder.type),
                do=SAVED_MODEL_ADVICE,
            )
        self.refuse_unless(
            [
                ("encoder.type", encoder.type, self.encoder_type),
                ("encoder.norm_first", encoder.norm_first, False),
                ("encoder.norm", encoder.norm, "layer_norm"),
                ("encoder.use_bias", encoder.use_bias, True),
                ("encoder.mlp", encoder.mlp, "dense"),
                ("encoder.positions", encoder.positions, "learned"),
                ("encoder.local_attention", encoder.local_attention, None),
            ]
        )
        if "embedding_size" not in self.encoder_names.values():
            width = encoder.embedding_size or encoder.hidden_size
            self.refuse_unless([("encoder.embedding_size", width, encoder.hidden_size)])
        head = next((head for head in config.cls_heads if head.name == NEXT_SENTENCE), None)
        if head is not None and self.next_sentence is not None:
            self.refuse_unless(
                [
                    ("the next_sentence head's inner_dim", config.pooler_width(head), encoder.hidden_size),
                    ("the next_sentence head's num_classes", head.num_classes, 2),
                    ("the next_sentence head's activation", head.activation, "tanh"),
                    ("the next_sentence head's cls_token_idx", head.cls_token_idx, 0),
                ]
            )
        return encoder

    def encoder_values(self, encoder: EncoderConfig) -> dict[str, Any]:
        """Returns the keys of config.json that describe the encoder."""
        return {
            "model_type": self.model_type,
            **{theirs: getattr(encoder, ours) for theirs, ours in self.encoder_names.items()},
            "hidden_act": self.their_activation(encoder.hidden_activation),
            "position_embedding_type": "absolute",
            "tie_word_embeddings": True,
        }

    def encoder_slots(self, encoder: Any) -> Iterator[Slot]:
        """Yields the weights of embeddings and blocks: `prefix` followed by BERT's names."""
        embeddings = f"{self.prefix}embeddings"
        yield Slot(f"{embeddings}.word_embeddings.weight", (encoder.word_embeddings.embeddings,))
        yield Slot(f"{embeddings}.position_embeddings.weight", (encoder.position_embedding.embeddings,))
        yield Slot(f"{embeddings}.token_type_embeddings.weight", (encoder.type_embeddings.embeddings,))
        yield from norm_slots(f"{embeddings}.LayerNorm", encoder.embeddings_layer_norm)
        for index, block in enumerate(encoder.transformer_layers):
            layer, attention = f"{self.prefix}encoder.layer.{index}", block.self_attention
            yield from dense_slots(f"{layer}.attention.self.query", attention.query_dense)
            yield from dense_slots(f"{layer}.attention.self.key", attention.key_dense)
            yield from dense_slots(f"{layer}.attention.self.value", attention.value_dense)
            yield from dense_slots(f"{layer}.attention.output.dense", attention.attention_output_dense)
            yield from norm_slots(f"{layer}.attention.output.LayerNorm", block.attention_layer_norm)
            yield from dense_slots(f"{layer}.intermediate.dense", block.intermediate_dense)
            yield from dense_slots(f"{layer}.output.dense", block.output_dense)
            yield from norm_slots(f"{layer}.output.LayerNorm", block.output_layer_norm)


def make_config(
    encoder: Mapping[str, Any], *, activation: str, has_next_sentence: bool, source: str
) -> PretrainerConfig:
    """Builds a configuration from an encoder's values.

    Raises:
        InputError: if a value is out of range.
    """
    with describing(source):
        config = EncoderConfig(**encoder, hidden_activation=activation)
        # As in pre-training: the head's dropout is that of the hidden states.
        head = ClsHeadConfig(
            inner_dim=config.hidden_size, num_classes=2, dropout_rate=config.dropout_rate, name=NEXT_SENTENCE
        )
        return PretrainerConfig(
            encoder=config, cls_heads=(head,) if has_next_sentence else (), mlm_activation=activation
        )


def from_google_config(values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
    """Like `Bert.from_config`, for a google-research/bert bert_config.json, whose "gelu" is the tanh approximation."""
    activation = values.get("hidden_act", "gelu")
    translated = {**values, "hidden_act": "gelu_new" if activation == "gelu" else activation}
    return Bert().from_config(translated, source=source, has_next_sentence=has_next_sentence)


def encode(
    config: Mapping[str, Any],
    weights: layers.Weights,
    batch: Mapping[str, np.ndarray],
    places: np.ndarray,
    *,
    name: str,
) -> np.ndarray:
    """Computes the hidden states of BERT's encoder in numpy, float64 `[batch, seq_length, hidden_size]`.

    Args:
        config, weights, batch: see `Family.compute`.
        places: the row of the position table for each token, integers `[batch, seq_length]`.
        name: the first part of the weight names.
    """
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    activation = layers.ACTIVATIONS[config["hidden_act"]]
    x = layers.get(weights, f"{name}.embeddings.word_embeddings.weight")[batch["input_ids"]]
    x = x + layers.get(weights, f"{name}.embeddings.position_embeddings.weight")[places]
    x = x + layers.get(weights, f"{name}.embeddings.token_type_embeddings.weight")[batch["token_type_ids"]]
    x = layers.layer_norm(weights, f"{name}.embeddings.LayerNorm", x, eps)
    blocked = layers.blocked_by(batch["attention_mask"])
    for index in range(config["num_hidden_layers"]):
        layer = f"{name}.encoder.layer.{index}"
        query, key, value = (
            layers.split_heads(layers.linear(weights, f"{layer}.attention.self.{part}", x), heads)
            for part in ("query", "key", "value")
        )
        attended = layers.attend(query, key, value, blocked)
        attended = layers.linear(weights, f"{layer}.attention.output.dense", attended)
        x = layers.layer_norm(weights, f"{layer}.attention.output.LayerNorm", x + attended, eps)
        inner = activation(layers.linear(weights, f"{layer}.intermediate.dense", x))
        inner = layers.linear(weights, f"{layer}.output.dense", inner)
        x = layers.layer_norm(weights, f"{layer}.output.LayerNorm", x + inner, eps)
    return x
