"""BERT's encoder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import keras

from pipeline.training.modeling.activations import gelu
from pipeline.training.modeling.built_model import BuiltModel
from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.one_hot_embedding import OneHotEmbedding
from pipeline.training.modeling.position_embedding import PositionEmbedding
from pipeline.training.modeling.transformer_encoder_block import TransformerEncoderBlock


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertEncoder(BuiltModel):
    """Bi-directional Transformer encoder (https://arxiv.org/abs/1810.04805), without its heads.

    The arguments, their defaults (BERT-Base) and the numbers are those of tensorflow/models'
    `BertEncoder`; its synonyms (`intermediate_size`, `dropout_rate`...) are understood.

    Inputs, int32 `[batch, seq_length]`, in a dictionary or a list of this order:
    `input_word_ids`, `input_mask` (1 for a token, 0 for padding), `input_type_ids`.

    Outputs: with `dict_outputs`, a dictionary of `sequence_output`
    `[batch, seq_length, hidden_size]`, `pooled_output` `[batch, hidden_size]` and `encoder_outputs`,
    every block's sequence output. Without, a list of the sequence output (or with
    `return_all_encoder_outputs` the list of every block's) and the pooled output.

    Args:
        vocab_size: entries of the vocabulary.
        hidden_size: width of the hidden states.
        num_layers: blocks.
        num_attention_heads: attention heads of a block.
        max_sequence_length: longest sequence, in tokens.
        type_vocab_size: kinds of segments.
        inner_dim: width between a block's two dense layers.
        inner_activation: activation between them; by default the tanh approximation of gelu.
        output_dropout: dropout of hidden states.
        attention_dropout: dropout of attention probabilities.
        initializer: initialiser of every kernel and embedding; by default truncated normal with a
            standard deviation of 0.02.
        embedding_width: width of the embeddings, if it is not `hidden_size`.
        norm_first: layer norm before attention and dense layers instead of after them.
        dict_outputs: whether the outputs are a dictionary.
        return_all_encoder_outputs: whether a list of outputs holds every block's.
        **kwargs: of `keras.Model`, and synonyms.

    Raises:
        ValueError: if the heads do not divide `hidden_size`.
        TypeError: for an unknown argument.
    """

    type_name = "bert"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        max_sequence_length: int = 512,
        type_vocab_size: int = 16,
        inner_dim: int = 3072,
        inner_activation: Any = gelu,
        output_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        initializer: Any = None,
        embedding_width: int | None = None,
        norm_first: bool = False,
        dict_outputs: bool = False,
        return_all_encoder_outputs: bool = False,
        **kwargs: Any,
    ) -> None:
        # Names by which tensorflow/models, BERT's configuration files and articles call these.
        num_layers = kwargs.pop("num_hidden_layers", num_layers)
        max_sequence_length = kwargs.pop("max_position_embeddings", max_sequence_length)
        inner_dim = kwargs.pop("intermediate_size", inner_dim)
        inner_activation = kwargs.pop("activation", inner_activation)
        output_dropout = kwargs.pop("dropout_rate", output_dropout)
        attention_dropout = kwargs.pop("attention_dropout_rate", attention_dropout)
        embedding_width = kwargs.pop("embedding_size", embedding_width)
        super().__init__(**kwargs)
        if hidden_size % num_attention_heads:
            raise ValueError(
                f"`num_attention_heads` must divide `hidden_size`. Received: {num_attention_heads} and {hidden_size}."
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.num_attention_heads = num_attention_heads
        self.max_sequence_length = max_sequence_length
        self.type_vocab_size = type_vocab_size
        self.inner_dim = inner_dim
        self.inner_activation = keras.activations.get(inner_activation)
        self.output_dropout = output_dropout
        self.attention_dropout = attention_dropout
        self.initializer = keras.initializers.get(initializer or keras.initializers.TruncatedNormal(stddev=0.02))
        self.embedding_width = embedding_width or hidden_size
        self.norm_first = norm_first
        self.dict_outputs = dict_outputs
        self.return_all_encoder_outputs = return_all_encoder_outputs

        # === Layers ===
        policy = self.dtype_policy
        self.word_embeddings = keras.layers.Embedding(
            vocab_size,
            self.embedding_width,
            embeddings_initializer=self._new_initializer(),
            dtype=policy,
            name="word_embeddings",
        )
        self.position_embedding = PositionEmbedding(
            max_sequence_length,
            initializer=self._new_initializer(),
            dtype=policy,
            name="position_embedding",
        )
        self.type_embeddings = OneHotEmbedding(
            type_vocab_size,
            self.embedding_width,
            embeddings_initializer=self._new_initializer(),
            dtype=policy,
            name="type_embeddings",
        )
        self.embeddings_layer_norm = keras.layers.LayerNormalization(
            epsilon=1e-12, dtype="float32", name="embeddings_layer_norm"
        )
        self.embedding_dropout = Dropout(output_dropout, dtype=policy, name="embedding_dropout")
        self.embedding_projection = None
        if self.embedding_width != hidden_size:
            self.embedding_projection = keras.layers.Dense(
                hidden_size,
                kernel_initializer=self._new_initializer(),
                dtype=policy,
                name="embedding_projection",
            )
        self.transformer_layers = self._build_blocks()
        self.pooler = keras.layers.Dense(
            hidden_size,
            activation="tanh",
            kernel_initializer=self._new_initializer(),
            dtype=policy,
            name="pooler_transform",
        )

        # === Weights: made here, so that heads can share the embedding table ===
        names = ("input_word_ids", "input_mask", "input_type_ids")
        self.build_with({name: keras.Input((None,), dtype="int32", name=name) for name in names})

    def _build_blocks(self) -> list[TransformerEncoderBlock]:
        """The blocks in their order; if fewer than `num_layers`, they are applied in turn."""
        return [self._build_block(f"transformer_layer_{index}") for index in range(self.num_layers)]

    def _build_block(self, name: str) -> TransformerEncoderBlock:
        return TransformerEncoderBlock(
            num_attention_heads=self.num_attention_heads,
            inner_dim=self.inner_dim,
            inner_activation=self.inner_activation,
            output_dropout=self.output_dropout,
            attention_dropout=self.attention_dropout,
            kernel_initializer=self._new_initializer(),
            norm_first=self.norm_first,
            dtype=self.dtype_policy,
            name=name,
        )

    def _new_initializer(self) -> Any:
        return clone_initializer(self.initializer)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Encodes a batch; see the class for inputs and outputs."""
        if not isinstance(inputs, Mapping):
            inputs = dict(zip(self.inputs, inputs, strict=True))
        x = self.word_embeddings(inputs["input_word_ids"])
        x = x + self.position_embedding(x) + self.type_embeddings(inputs["input_type_ids"])
        x = self.embedding_dropout(self.embeddings_layer_norm(x), training=training)
        if self.embedding_projection is not None:
            x = self.embedding_projection(x)
        attention_mask = keras.ops.cast(inputs["input_mask"], "float32")[:, None, :]
        encoder_outputs = []
        blocks = itertools.cycle(self.transformer_layers)
        for block in itertools.islice(blocks, self.num_layers):
            x = block(x, attention_mask, training=training)
            encoder_outputs.append(x)
        pooled_output = self.pooler(x[:, 0])
        if self.dict_outputs:
            return {
                "sequence_output": x,
                "pooled_output": pooled_output,
                "encoder_outputs": encoder_outputs,
            }
        return [encoder_outputs if self.return_all_encoder_outputs else x, pooled_output]

    def get_embedding_table(self) -> Any:
        """The word embeddings, a variable `[vocab_size, embedding_width]`."""
        return self.word_embeddings.embeddings

    def get_embedding_layer(self) -> Any:
        """The layer of the word embeddings."""
        return self.word_embeddings

    @property
    def pooler_layer(self) -> Any:
        """The dense layer after the blocks that makes the pooled output."""
        return self.pooler

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "num_attention_heads": self.num_attention_heads,
            "max_sequence_length": self.max_sequence_length,
            "type_vocab_size": self.type_vocab_size,
            "inner_dim": self.inner_dim,
            "inner_activation": keras.activations.serialize(self.inner_activation),
            "output_dropout": self.output_dropout,
            "attention_dropout": self.attention_dropout,
            "initializer": keras.initializers.serialize(self.initializer),
            "embedding_width": self.embedding_width,
            "norm_first": self.norm_first,
            "dict_outputs": self.dict_outputs,
            "return_all_encoder_outputs": self.return_all_encoder_outputs,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> BertEncoder:
        """Builds an encoder from `get_config()`, or from arguments with its `type` among them, here "bert"."""
        config = dict(config)
        kind = config.pop("type", cls.type_name)
        if kind != cls.type_name:
            raise ValueError(f'`type` must be "{cls.type_name}". Received: {kind!r}.')
        return cls(**config)
