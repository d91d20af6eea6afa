"""Hugging Face's ModernBERT: `ModernBertForMaskedLM`, `ModernBertModel`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import ModernBertEncoderConfig
from pipeline.training.exchange.families import numpy_layers as layers
from pipeline.training.exchange.families.base import (
    ACTIVATIONS,
    SAVED_MODEL_ADVICE,
    Family,
    describing,
    our_activation,
    refuse_next_sentence,
)
from pipeline.training.exchange.families.slots import Slot, dense_slots, norm_slots

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

_FULL, _SLIDING = "full_attention", "sliding_attention"
_THETAS = {_FULL: 160_000.0, _SLIDING: 10_000.0}  # transformers' defaults.
_EVERY = 3
# This project's names of options, by Hugging Face's.
_ENCODER_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_position_embeddings",
    "mlp_dropout": "dropout_rate",
    "attention_dropout": "attention_dropout_rate",
    "initializer_range": "initializer_range",
    "norm_eps": "layer_norm_epsilon",
}
_BIASES = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")


class ModernBert(Family):
    """ModernBERT, https://arxiv.org/abs/2412.13663, with the names of transformers' modeling_modernbert.py."""

    model_type = "modernbert"
    title = "ModernBERT"
    prefix = "model."
    mlm_head = ("head.", "decoder.")
    copies: ClassVar[Mapping[str, str]] = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}
    fixed: ClassVar[Mapping[str, Any]] = {"decoder_bias": True, "tie_word_embeddings": True}

    @property
    def vocabulary_rows(self) -> tuple[str, ...]:
        return (*self.copies.values(), "decoder.bias")

    def to_config(self, config: PretrainerConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
        encoder = config.encoder
        if not isinstance(encoder, ModernBertEncoderConfig):
            raise ConfigError(
                "Hugging Face's ModernBERT supports only encoder.type 'modernbert'",
                received=repr(encoder.type),
                do=SAVED_MODEL_ADVICE,
            )
        wanted: list[tuple[str, Any, Any]] = [("encoder.norm", encoder.norm, "layer_norm")]
        if encoder.mlp != "swiglu":
            wanted.append(("encoder.mlp", encoder.mlp, "geglu"))
        self.refuse_unless(wanted)
        refuse_next_sentence(self, config, SAVED_MODEL_ADVICE)
        every = encoder.global_attention_every if encoder.local_attention is not None else 1
        activation = "silu" if encoder.mlp == "swiglu" else encoder.hidden_activation
        return {
            "architectures": ["ModernBertForMaskedLM"],
            "model_type": self.model_type,
            **{theirs: getattr(encoder, ours) for theirs, ours in _ENCODER_NAMES.items()},
            "embedding_dropout": encoder.dropout_rate,
            "hidden_activation": self.their_activation(activation),
            "classifier_activation": self.their_activation(str(config.mlm_activation)),
            **dict.fromkeys(_BIASES, encoder.use_bias),
            "decoder_bias": True,
            "local_attention": encoder.local_attention or 128,
            "layer_types": [_SLIDING if index % every else _FULL for index in range(encoder.num_layers)],
            "rope_parameters": {
                _FULL: {"rope_type": "default", "rope_theta": encoder.rotary_theta},
                _SLIDING: {"rope_type": "default", "rope_theta": encoder.local_rotary_theta},
            },
            # The same for transformers 4.
            "global_attn_every_n_layers": every,
            "global_rope_theta": encoder.rotary_theta,
            "local_rope_theta": encoder.local_rotary_theta,
            "pad_token_id": special_ids["pad"],
            "bos_token_id": special_ids["cls"],
            "eos_token_id": special_ids["sep"],
            "cls_token_id": special_ids["cls"],
            "sep_token_id": special_ids["sep"],
            "tie_word_embeddings": True,
        }

    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        self.check_config(values, source)
        activation = our_activation(values, "hidden_activation", default="gelu", source=source)
        if activation == "relu":
            known = ", ".join(name for name, ours in ACTIVATIONS.items() if ours != "relu")
            raise InputError(f"hidden_activation in {source} must be one of {known}", received="'relu'")
        biases = {name: bool(values.get(name, False)) for name in _BIASES}
        if len(set(biases.values())) > 1:
            raise InputError(
                f"{', '.join(_BIASES)} in {source} must be all true or all false",
                received=", ".join(f"{name} {value}" for name, value in biases.items()),
            )
        layer_types, local = _layer_types(values, source), values.get("local_attention", 128)
        if not isinstance(local, int):
            raise InputError(f"local_attention in {source} must be an integer", received=repr(local))
        thetas = {kind: _theta(values, kind, source) for kind in (_FULL, _SLIDING)}
        with describing(source):
            encoder = ModernBertEncoderConfig(
                **{ours: values[theirs] for theirs, ours in _ENCODER_NAMES.items() if theirs in values},
                hidden_activation=activation,
                mlp="swiglu" if activation == "silu" else "geglu",
                use_bias=biases["norm_bias"],
                rotary_theta=thetas[_FULL],
                local_rotary_theta=thetas[_SLIDING],
                # An odd window has as many tokens on each side as the even one below it.
                local_attention=local // 2 * 2 if _SLIDING in layer_types else None,
                global_attention_every=_every(layer_types, source) if _SLIDING in layer_types else _EVERY,
            )
            head = our_activation(values, "classifier_activation", default="gelu", source=source)
            return PretrainerConfig(encoder=encoder, mlm_activation=head)

    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        encoder, head = model.encoder_network, model.masked_lm
        yield Slot("model.embeddings.tok_embeddings.weight", (encoder.word_embeddings.embeddings,))
        yield from norm_slots("model.embeddings.norm", encoder.embeddings_layer_norm)
        for index, block in enumerate(encoder.transformer_layers):
            layer, attention = f"model.layers.{index}", block.self_attention
            if block.attention_layer_norm is not None:
                yield from norm_slots(f"{layer}.attn_norm", block.attention_layer_norm)
            yield from dense_slots(
                f"{layer}.attn.Wqkv", attention.query_dense, attention.key_dense, attention.value_dense
            )
            yield from dense_slots(f"{layer}.attn.Wo", attention.attention_output_dense)
            yield from norm_slots(f"{layer}.mlp_norm", block.output_layer_norm)
            yield from dense_slots(f"{layer}.mlp.Wi", block.intermediate_dense)
            yield from dense_slots(f"{layer}.mlp.Wo", block.output_dense)
        yield from norm_slots("model.final_norm", encoder.final_layer_norm)
        yield from dense_slots("head.dense", head.dense)
        yield from norm_slots("head.norm", head.layer_norm)
        yield Slot("decoder.bias", (head.bias,))

    def compute(
        self,
        config: Mapping[str, Any],
        weights: layers.Weights,
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        eps, heads = config["norm_eps"], config["num_attention_heads"]
        width = config["hidden_size"] // heads
        activation = layers.ACTIVATIONS[config["hidden_activation"]]
        ids = batch["input_ids"]
        table = layers.get(weights, "model.embeddings.tok_embeddings.weight")
        x = layers.layer_norm(weights, "model.embeddings.norm", table[ids], eps)
        places = np.arange(ids.shape[1])
        padding = layers.blocked_by(batch["attention_mask"])
        far = np.abs(places[:, None] - places) > config["local_attention"] // 2
        blocked = {_FULL: padding, _SLIDING: padding + np.where(far, layers.BLOCKED, 0.0)}
        for index, kind in enumerate(config["layer_types"]):
            layer = f"model.layers.{index}"
            normed = layers.layer_norm(weights, f"{layer}.attn_norm", x, eps) if index else x
            query, key, value = (
                layers.split_heads(part, heads)
                for part in np.split(layers.linear(weights, f"{layer}.attn.Wqkv", normed), 3, axis=-1)
            )
            angles = places[:, None] * config["rope_parameters"][kind]["rope_theta"] ** (
                -np.arange(0, width, 2) / width
            )
            attended = layers.attend(_turned(query, angles), _turned(key, angles), value, blocked[kind])
            x = x + layers.linear(weights, f"{layer}.attn.Wo", attended)
            normed = layers.layer_norm(weights, f"{layer}.mlp_norm", x, eps)
            inner, gate = np.split(layers.linear(weights, f"{layer}.mlp.Wi", normed), 2, axis=-1)
            x = x + layers.linear(weights, f"{layer}.mlp.Wo", activation(inner) * gate)
        x = layers.layer_norm(weights, "model.final_norm", x, eps)
        hidden = layers.linear(weights, "head.dense", layers.at(x, positions))
        hidden = layers.ACTIVATIONS[config["classifier_activation"]](hidden)
        hidden = layers.layer_norm(weights, "head.norm", hidden, eps)
        return {"prediction_logits": hidden @ table.T + layers.get(weights, "decoder.bias")}


def _turned(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Applies rotary positions (https://arxiv.org/abs/2104.09864), pairing the first half of a head with the second.

    Args:
        x: `[batch, heads, length, width]`.
        angles: `[length, width / 2]`.
    """
    first, second = np.split(x, 2, axis=-1)
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _layer_types(values: Mapping[str, Any], source: str) -> Sequence[str]:
    """Returns the attention type of each layer, in the notation of transformers 5 or 4."""
    layers_, every = values["num_hidden_layers"], values.get("global_attn_every_n_layers", _EVERY)
    if not isinstance(layers_, int) or not isinstance(every, int) or every < 1:
        raise InputError(
            f"num_hidden_layers and global_attn_every_n_layers in {source} must be positive integers",
            received=f"{layers_!r} and {every!r}",
        )
    stated = values.get("layer_types")
    if stated is None:
        return [_SLIDING if index % every else _FULL for index in range(layers_)]
    if not isinstance(stated, list) or len(stated) != layers_ or not set(stated) <= {_FULL, _SLIDING}:
        raise InputError(
            f"layer_types in {source} must list {layers_} times {_FULL} or {_SLIDING}", received=repr(stated)[:200]
        )
    return stated


def _every(layer_types: Sequence[str], source: str) -> int:
    """Returns n if layers 0, n, 2n... attend to the whole sequence; ModernBERT's own 3 if several n fit."""
    for every in (_EVERY, *range(2, len(layer_types) + 1)):
        if list(layer_types) == [_SLIDING if index % every else _FULL for index in range(len(layer_types))]:
            return every
    raise InputError(
        f"layer_types in {source} must repeat {_FULL} every n layers, from the first", received=repr(layer_types)[:200]
    )


def _theta(values: Mapping[str, Any], kind: str, source: str) -> float:
    """Returns the base of the rotary angles of a type of layers, in the notation of transformers 5 or 4."""
    if values.get("rope_scaling") is not None:
        raise InputError(f"rope_scaling in {source} must be null", received=repr(values["rope_scaling"]))
    rope = (values.get("rope_parameters") or {}).get(kind) or {}
    if rope.get("rope_type", "default") != "default" or rope.keys() - {"rope_type", "rope_theta"}:
        raise InputError(
            f"rope_parameters in {source} must have the rope_type 'default' and a rope_theta", received=repr(rope)
        )
    whole = values.get("global_rope_theta", _THETAS[_FULL])
    local = values.get("local_rope_theta", _THETAS[_SLIDING])
    # Null means that of the other layers.
    former = whole if kind == _FULL or local is None else local
    theta = rope.get("rope_theta", former)
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not math.isfinite(theta) or theta <= 0:
        raise InputError(f"rope_theta in {source} for {kind} must be a positive number", received=repr(theta))
    return float(theta)
