"""Hugging Face's config.json, from and to our configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.encoders import EncoderConfig

# Our names of activations, by Hugging Face's. Theirs of "gelu" is the exact one; BERT's own, and ours, its tanh
# approximation.
_ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "gelu": "gelu_exact",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_LAYER_NORM_EPS = 1e-12
# Ours, by Hugging Face's.
_ENCODER_NAMES = {
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
}


def to_hf_config(config: PretrainerConfig, *, pad_id: int) -> dict[str, Any]:
    """What config.json says of a model.

    Args:
        config: the model's configuration, resolved.
        pad_id: the id of [PAD].

    Raises:
        ConfigError: if Hugging Face's BERT has no such model.
    """
    encoder = _check_expressible(config)
    has_next_sentence = config.has_head("next_sentence")
    return {
        "architectures": ["BertForPreTraining" if has_next_sentence else "BertForMaskedLM"],
        "model_type": "bert",
        **{theirs: getattr(encoder, ours) for theirs, ours in _ENCODER_NAMES.items()},
        "hidden_act": _their_activation(encoder.hidden_activation),
        "layer_norm_eps": _LAYER_NORM_EPS,
        "position_embedding_type": "absolute",
        "pad_token_id": pad_id,
        "tie_word_embeddings": True,
    }


def from_hf_config(values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
    """Our configuration of a model that config.json describes.

    Args:
        values: what the file holds.
        source: its name, for messages.
        has_next_sentence: whether there is a next-sentence head among the weights.

    Raises:
        InputError: if it describes another model than BERT, or lacks something.
    """
    for name, wanted in (
        ("model_type", "bert"),
        ("position_embedding_type", "absolute"),
        ("layer_norm_eps", _LAYER_NORM_EPS),
        ("is_decoder", False),
        ("add_cross_attention", False),
    ):
        if values.get(name, wanted) != wanted:
            raise InputError(
                f"{source} must describe a BERT encoder with {name} {wanted!r}", received=repr(values[name])
            )
    if values.get("hidden_act", "gelu") not in _ACTIVATIONS:
        raise InputError(
            f"hidden_act of {source} must be one of {', '.join(_ACTIVATIONS)}", received=repr(values["hidden_act"])
        )
    missing = [name for name in ("vocab_size", "hidden_size", "num_hidden_layers") if name not in values]
    if missing:
        raise InputError(f"{source} must tell {', '.join(missing)}")
    activation = _ACTIVATIONS[values.get("hidden_act", "gelu")]
    return make_config(
        {ours: values[theirs] for theirs, ours in _ENCODER_NAMES.items() if theirs in values},
        activation=activation,
        has_next_sentence=has_next_sentence,
        source=source,
    )


def from_google_config(values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
    """As `from_hf_config`, of a bert_config.json of google-research/bert, whose "gelu" is the tanh approximation."""
    activation = values.get("hidden_act", "gelu")
    translated = {**values, "hidden_act": "gelu_new" if activation == "gelu" else activation}
    return from_hf_config(translated, source=source, has_next_sentence=has_next_sentence)


def make_config(
    encoder: Mapping[str, Any], *, activation: str, has_next_sentence: bool, source: str
) -> PretrainerConfig:
    """A configuration out of an encoder's values.

    Raises:
        InputError: if a value is out of range.
    """
    try:
        config = EncoderConfig(**encoder, hidden_activation=activation)
        # As it was pre-trained: the head's dropout is that of the hidden states.
        head = ClsHeadConfig(
            inner_dim=config.hidden_size, num_classes=2, dropout_rate=config.dropout_rate, name="next_sentence"
        )
        return PretrainerConfig(
            encoder=config, cls_heads=(head,) if has_next_sentence else (), mlm_activation=activation
        )
    except (ConfigError, TypeError) as error:
        raise InputError(f"{source} describes no model that can be built", received=str(error)) from error


def _check_expressible(config: PretrainerConfig) -> EncoderConfig:
    """Refuses what Hugging Face's BERT cannot compute; returns the encoder's configuration."""
    encoder = config.encoder
    if not isinstance(encoder, EncoderConfig):
        raise ConfigError(
            "Hugging Face's BERT computes only models with encoder.type 'bert'",
            received=repr(encoder.type),
            do="Export this model as a SavedModel instead",
        )
    head = next((head for head in config.cls_heads if head.name == "next_sentence"), None)
    wanted: list[tuple[str, Any, Any]] = [
        ("encoder.type", encoder.type, "bert"),
        ("encoder.norm_first", encoder.norm_first, False),
        ("encoder.embedding_size", encoder.embedding_size or encoder.hidden_size, encoder.hidden_size),
        ("mlm_activation", config.mlm_activation, encoder.hidden_activation),
    ]
    if head is not None:
        wanted += [
            ("the next_sentence head's inner_dim", config.pooler_width(head), encoder.hidden_size),
            ("the next_sentence head's num_classes", head.num_classes, 2),
            ("the next_sentence head's activation", head.activation, "tanh"),
            ("the next_sentence head's cls_token_idx", head.cls_token_idx, 0),
        ]
    for name, value, required in wanted:
        if value != required:
            raise ConfigError(
                f"Hugging Face's BERT computes only models with {name} {required!r}",
                received=repr(value),
                do="Export this model as a SavedModel instead",
            )
    return encoder


def _their_activation(name: str) -> str:
    for theirs, ours in _ACTIVATIONS.items():
        if ours == name:
            return theirs
    raise ConfigError(
        f"Hugging Face's BERT needs an activation out of {', '.join(sorted(set(_ACTIVATIONS.values())))}",
        received=repr(name),
        do="Export this model as a SavedModel instead",
    )
