"""BERT's encoder."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf

from pipeline.training.modeling.activations import gelu
from pipeline.training.modeling.built_model import BuiltModel
from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.local_attention import band, window_mask
from pipeline.training.modeling.norms import make_norm
from pipeline.training.modeling.on_device_embedding import OnDeviceEmbedding
from pipeline.training.modeling.position_embedding import PositionEmbedding
from pipeline.training.modeling.rotary import rotary_angles
from pipeline.training.modeling.transformer_encoder_block import TransformerEncoderBlock

_log = logging.getLogger(__name__)
POSITIONS = ("learned", "rotary")


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertEncoder(BuiltModel):
    """Bidirectional Transformer encoder of BERT (https://arxiv.org/abs/1810.04805), without heads.

    The arguments, their defaults (those of BERT-Base) and the computed numbers are those of tensorflow/models'
    `BertEncoder`. Its synonyms for arguments, such as `intermediate_size` and `dropout_rate`, are accepted. Each part
    of the encoder can be replaced through its argument; see `docs/modern-encoders.md`.

    **Inputs**: a dictionary, or a list in this order, of int32 tensors `[batch, seq_length]`:

    - `input_word_ids`: token ids in `[0, vocab_size)`. A dictionary may contain `input_word_embeddings` instead, floats
      `[batch, seq_length, embedding_width]`.
    - `input_mask`: 1 for a token, 0 for padding.
    - `input_type_ids`: segment ids in `[0, type_vocab_size)`. If `type_vocab_size` is None, lists do not contain them,
      and those in a dictionary are ignored.

    **Outputs**: with `dict_outputs`, a dictionary of:

    - `sequence_output`: `[batch, seq_length, hidden_size]`.
    - `pooled_output`: `[batch, hidden_size]`, unless `use_pooler` is false.
    - `encoder_outputs`: a list of the sequence output of every block.
    - `attention_scores`: with `return_attention_scores`, a list of the attention probabilities of every block, each
      `[batch, heads, seq_length, seq_length]`.
    - `word_embeddings`: with `return_word_embeddings`, the input of the first block.

    Otherwise, a list of the sequence output (with `return_all_encoder_outputs`, the list of every block's), the pooled
    output unless `use_pooler` is false, and with `return_attention_scores` the list of attention probabilities.

    **Packed rows**: a row may hold several sequences, one after another. The input dictionary then also contains
    `input_sequence_ids`, int32 `[batch, seq_length]`: the number of each token's sequence in its row, 1, 2, ..., and 0
    for padding. Tokens attend only to their own sequence, and positions restart with each sequence. The outputs are
    therefore the same as if the sequences were encoded one by one (Krell et al., 2021,
    https://arxiv.org/abs/2107.02027). The dictionary may also contain `next_sentence_positions`, int32
    `[batch, sequences]`: the position of the first token of each sequence, 0 for padding. The pooled output is then
    `[batch, sequences, hidden_size]`.

    Args:
        vocab_size: number of entries in the vocabulary.
        hidden_size: width of the hidden states.
        num_layers: number of Transformer blocks.
        num_attention_heads: number of attention heads in a block. If `hidden_size` is not a multiple of it, the width
            of a head is rounded down, and a warning is logged.
        max_sequence_length: maximum length of a sequence, in tokens.
        type_vocab_size: number of segment types; None for no segment embeddings.
        inner_dim: width between the two dense layers of a block.
        inner_activation: activation between them; by default, the tanh approximation of gelu.
        output_dropout: dropout rate of the hidden states, in [0, 1).
        attention_dropout: dropout rate of the attention probabilities, in [0, 1).
        initializer: initialiser of all kernels and embeddings; by default, a truncated normal distribution with a
            standard deviation of 0.02.
        output_range: number of positions, from the first, for which the last block computes an output; None for all.
        embedding_width: width of the embeddings; by default, `hidden_size`. Other widths are projected to
            `hidden_size`.
        embedding_layer: layer for the word embeddings, such as `OnDeviceEmbedding`; by default, the encoder creates its
            own.
        norm_first: whether layer norms come before attention and dense layers instead of after them.
        layer_norm_epsilon: epsilon of the layer norms.
        dict_outputs: whether to return a dictionary instead of a list.
        return_all_encoder_outputs: whether a list of outputs contains the sequence outputs of all blocks.
        return_attention_scores: whether to return the attention probabilities as well.
        return_word_embeddings: whether a dictionary of outputs contains the word embeddings.
        final_norm: whether to add a norm after the last block and omit the one before the attention of the first block,
            whose input is already normalised; needs `norm_first`. A block that is applied repeatedly keeps its norm.
        norm: "layer_norm" or "rms_norm"; see `make_norm`.
        use_bias: whether dense layers and layer norms have biases.
        gated_mlp: whether the dense layers of the blocks are gated; see `TransformerEncoderBlock`.
        positions: "learned" for position embeddings, or "rotary" for rotary positions of queries and keys.
        rotary_theta: base of the angles of rotary positions; see `rotary_angles`.
        local_rotary_theta: the same for blocks with local attention.
        local_attention: window of local attention, in tokens, half of it on each side; even and at least 2. None for no
            local attention.
        global_attention_every: with `local_attention`, blocks 0, n, 2n, ... attend to the whole sequence nevertheless.
        use_pooler: whether to compute the pooled output.
        output_initializer: initialiser of the kernels whose output is added to the residual; by default, `initializer`.
        **kwargs: arguments of `keras.Model`, and synonyms of the arguments above.

    Raises:
        TypeError: if an argument is unknown.
        ValueError: if arguments do not fit together.

    Example:

    ```python
    import numpy as np
    from pipeline.training import BertEncoder

    encoder = BertEncoder(
        vocab_size=100, hidden_size=32, num_layers=2, num_attention_heads=2, inner_dim=64, dict_outputs=True
    )
    outputs = encoder(
        {
            "input_word_ids": np.array([[2, 7, 8, 3, 0]]),
            "input_mask": np.array([[1, 1, 1, 1, 0]]),
            "input_type_ids": np.zeros((1, 5), "int32"),
        }
    )
    outputs["sequence_output"].shape  # (1, 5, 32)
    outputs["pooled_output"].shape  # (1, 32)
    ```
    """

    type_name = "bert"
    optional_inputs: ClassVar[tuple[str, ...]] = ("input_sequence_ids", "next_sentence_positions")

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        max_sequence_length: int = 512,
        type_vocab_size: int | None = 16,
        inner_dim: int = 3072,
        inner_activation: Any = gelu,
        output_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        initializer: Any = None,
        output_range: int | None = None,
        embedding_width: int | None = None,
        embedding_layer: Any = None,
        norm_first: bool = False,
        layer_norm_epsilon: float = 1e-12,
        dict_outputs: bool = False,
        return_all_encoder_outputs: bool = False,
        return_attention_scores: bool = False,
        return_word_embeddings: bool = False,
        final_norm: bool = False,
        norm: str = "layer_norm",
        use_bias: bool = True,
        gated_mlp: bool = False,
        positions: str = "learned",
        rotary_theta: float = 10_000.0,
        local_rotary_theta: float = 10_000.0,
        local_attention: int | None = None,
        global_attention_every: int = 3,
        use_pooler: bool = True,
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        # Names by which tensorflow/models, BERT's configuration files and articles call these.
        kwargs.pop("sequence_length", None)  # Has no effect there either.
        num_layers = kwargs.pop("num_hidden_layers", num_layers)
        max_sequence_length = kwargs.pop("max_position_embeddings", max_sequence_length)
        inner_dim = kwargs.pop("intermediate_size", inner_dim)
        inner_activation = kwargs.pop("activation", inner_activation)
        output_dropout = kwargs.pop("dropout_rate", output_dropout)
        attention_dropout = kwargs.pop("attention_dropout_rate", attention_dropout)
        embedding_width = kwargs.pop("embedding_size", embedding_width)
        super().__init__(**kwargs)
        if hidden_size % num_attention_heads:
            _log.warning("%d attention heads do not divide a hidden size of %d.", num_attention_heads, hidden_size)
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
        self.output_range = output_range
        self.embedding_width = embedding_width or hidden_size
        self.norm_first = norm_first
        self.layer_norm_epsilon = layer_norm_epsilon
        self.dict_outputs = dict_outputs
        self.return_all_encoder_outputs = return_all_encoder_outputs
        self.return_attention_scores = return_attention_scores
        self.return_word_embeddings = return_word_embeddings
        self.final_norm = final_norm
        self.norm = norm
        self.use_bias = use_bias
        self.gated_mlp = gated_mlp
        self.positions = positions
        self.rotary_theta = rotary_theta
        self.local_rotary_theta = local_rotary_theta
        self.local_attention = local_attention
        self.global_attention_every = global_attention_every
        self.use_pooler = use_pooler
        self.output_initializer = keras.initializers.get(output_initializer)
        self._check_parts()

        # === Layers ===
        policy = self.dtype_policy
        self._has_own_embeddings = embedding_layer is None
        self.word_embeddings = embedding_layer or keras.layers.Embedding(
            vocab_size,
            self.embedding_width,
            embeddings_initializer=self._new_initializer(),
            dtype=policy,
            name="word_embeddings",
        )
        self.position_embedding = None
        if positions == "learned":
            self.position_embedding = PositionEmbedding(
                max_sequence_length,
                initializer=self._new_initializer(),
                dtype=policy,
                name="position_embedding",
            )
        # By a product: the gradient is then one matrix. That of lookups is a row for every token, and optimisers that
        # clip by the global norm would take the norm of those rows, unsummed, for the gradient's.
        self.type_embeddings = None
        if type_vocab_size is not None:
            self.type_embeddings = OnDeviceEmbedding(
                type_vocab_size,
                self.embedding_width,
                initializer=self._new_initializer(),
                use_one_hot=True,
                dtype=policy,
                name="type_embeddings",
            )
        self.embeddings_layer_norm = self._norm("embeddings_layer_norm")
        self.embedding_dropout = Dropout(output_dropout, dtype=policy, name="embedding_dropout")
        self.embedding_projection = None
        if self.embedding_width != hidden_size:
            self.embedding_projection = keras.layers.Dense(
                hidden_size,
                use_bias=use_bias,
                kernel_initializer=self._new_initializer(),
                dtype=policy,
                name="embedding_projection",
            )
        self.transformer_layers = self._build_blocks()
        self.final_layer_norm = self._norm("final_layer_norm") if final_norm else None
        self.pooler = None
        if use_pooler:
            self.pooler = keras.layers.Dense(
                hidden_size,
                activation="tanh",
                use_bias=use_bias,
                kernel_initializer=self._new_initializer(),
                dtype=policy,
                name="pooler_transform",
            )

        # === Weights: made here, so that heads can share the embedding table ===
        names = ("input_word_ids", "input_mask", *(() if type_vocab_size is None else ("input_type_ids",)))
        self.build_with({name: keras.Input((None,), dtype="int32", name=name) for name in names})

    def _check_parts(self) -> None:
        """Raises a ValueError for parts that do not fit together."""
        width = self.hidden_size // self.num_attention_heads
        if self.positions not in POSITIONS:
            raise ValueError(f"`positions` must be one of {', '.join(POSITIONS)}. Received: {self.positions!r}.")
        if self.positions == "rotary" and width % 2:
            raise ValueError(f"Rotary positions need heads of an even width. Received: {width}.")
        if self.local_attention is not None and (self.local_attention < 2 or self.local_attention % 2):
            raise ValueError(f"`local_attention` must be even and at least 2. Received: {self.local_attention}.")
        if self.final_norm and not self.norm_first:
            raise ValueError("`final_norm` needs `norm_first`. Received: norm_first=False.")

    def _build_blocks(self) -> list[TransformerEncoderBlock]:
        """The blocks in their order; if fewer than `num_layers`, they are applied in turn."""
        return [
            self._build_block(f"transformer_layer_{index}", attention_norm=index > 0 or not self.final_norm)
            for index in range(self.num_layers)
        ]

    def _build_block(self, name: str, *, attention_norm: bool = True) -> TransformerEncoderBlock:
        return TransformerEncoderBlock(
            num_attention_heads=self.num_attention_heads,
            inner_dim=self.inner_dim,
            inner_activation=self.inner_activation,
            output_dropout=self.output_dropout,
            attention_dropout=self.attention_dropout,
            kernel_initializer=self._new_initializer(),
            norm_first=self.norm_first,
            norm_epsilon=self.layer_norm_epsilon,
            return_attention_scores=self.return_attention_scores,
            use_bias=self.use_bias,
            dense_bias=self.use_bias,
            norm_bias=self.use_bias,
            norm=self.norm,
            gated=self.gated_mlp,
            attention_norm=attention_norm,
            output_initializer=self.output_initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name: str) -> Any:
        return make_norm(self.norm, name, epsilon=self.layer_norm_epsilon, use_bias=self.use_bias)

    def _new_initializer(self) -> Any:
        return clone_initializer(self.initializer)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Encodes a batch.

        Args:
            inputs: a dictionary or a list; see the class.
            training: whether dropout applies.

        Returns:
            A dictionary or a list; see the class.
        """
        if not isinstance(inputs, Mapping):
            inputs = dict(zip(self.inputs, inputs, strict=True))
        x = inputs.get("input_word_embeddings")
        if x is None:
            x = self.word_embeddings(inputs["input_word_ids"])
        attention_mask, positions = keras.ops.cast(inputs["input_mask"], "float32")[:, None, :], None
        sequence_ids = inputs.get("input_sequence_ids")
        if sequence_ids is not None:
            same_sequence, positions = _places(sequence_ids)
            attention_mask = attention_mask * same_sequence
        if self.position_embedding is not None:
            x = x + self.position_embedding(x[:1], positions)
        if self.type_embeddings is not None:
            x = x + self.type_embeddings(inputs["input_type_ids"])
        x = self.embedding_dropout(self.embeddings_layer_norm(x), training=training)
        if self.embedding_projection is not None:
            x = self.embedding_projection(x)
        embeddings = x
        encoder_outputs, attention_scores = [], []
        masks = self._masks(attention_mask, inputs["input_mask"], sequence_ids)
        angles = self._angles(x, positions)
        blocks = itertools.islice(itertools.cycle(self.transformer_layers), self.num_layers)
        for number, block in enumerate(blocks, start=1):
            output_range = self.output_range if number == self.num_layers else None
            is_local = self.local_attention is not None and (number - 1) % self.global_attention_every != 0
            x = block([x, masks[is_local]], output_range=output_range, training=training, rotary=angles[is_local])
            if self.return_attention_scores:
                x, scores = x
                attention_scores.append(scores)
            encoder_outputs.append(x)
        if self.final_layer_norm is not None:
            x = self.final_layer_norm(x)
        pooled = {}
        if self.pooler is not None:
            starts = inputs.get("next_sentence_positions")
            pooled["pooled_output"] = self.pooler(x[:, 0] if starts is None else tf.gather(x, starts, batch_dims=1))
        if not self.dict_outputs:
            sequence_output = encoder_outputs if self.return_all_encoder_outputs else x
            scores_if_any = [attention_scores] if self.return_attention_scores else []
            return [sequence_output, *pooled.values(), *scores_if_any]
        outputs = {"sequence_output": x, **pooled, "encoder_outputs": encoder_outputs}
        if self.return_attention_scores:
            outputs["attention_scores"] = attention_scores
        if self.return_word_embeddings:
            outputs["word_embeddings"] = embeddings
        return outputs

    def _masks(self, attention_mask: Any, input_mask: Any, sequence_ids: Any) -> tuple[Any, Any]:
        """The masks of global and of local attention."""
        if self.local_attention is None:
            return attention_mask, None
        if self.return_attention_scores or self.output_range:  # These need all of a row's probabilities at once.
            return attention_mask, attention_mask * band(tf.shape(input_mask)[1], self.local_attention)
        segments = input_mask if sequence_ids is None else input_mask * sequence_ids
        return attention_mask, window_mask(segments, self.local_attention)

    def _angles(self, x: Any, positions: Any) -> tuple[Any, Any]:
        """The angles of rotary positions in global and in local attention."""
        if self.positions != "rotary":
            return None, None
        positions = tf.range(tf.shape(x)[1])[None] if positions is None else positions
        width = self.hidden_size // self.num_attention_heads
        thetas = (self.rotary_theta, self.local_rotary_theta)
        global_, local = (rotary_angles(positions, width, theta) for theta in thetas)
        return global_, local

    def get_embedding_table(self) -> Any:
        """Returns the word embeddings, a variable `[vocab_size, embedding_width]`."""
        return self.word_embeddings.embeddings

    def get_embedding_layer(self) -> Any:
        """Returns the layer of the word embeddings."""
        return self.word_embeddings

    @property
    def pooler_layer(self) -> Any:
        """The dense layer that computes the pooled output, or None."""
        return self.pooler

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
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
            "output_range": self.output_range,
            "embedding_width": self.embedding_width,
            "embedding_layer": None if self._has_own_embeddings else serialize(self.word_embeddings),
            "norm_first": self.norm_first,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "dict_outputs": self.dict_outputs,
            "return_all_encoder_outputs": self.return_all_encoder_outputs,
            "return_attention_scores": self.return_attention_scores,
            "return_word_embeddings": self.return_word_embeddings,
            "final_norm": self.final_norm,
            "norm": self.norm,
            "use_bias": self.use_bias,
            "gated_mlp": self.gated_mlp,
            "positions": self.positions,
            "rotary_theta": self.rotary_theta,
            "local_rotary_theta": self.local_rotary_theta,
            "local_attention": self.local_attention,
            "global_attention_every": self.global_attention_every,
            "use_pooler": self.use_pooler,
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> BertEncoder:
        """Builds an encoder from the result of `get_config()`, or from a dictionary of arguments.

        The dictionary may also contain `type`, which must be "bert" for this class.

        Raises:
            ValueError: if `type` is something else.
        """
        config = dict(config)
        kind = config.pop("type", cls.type_name)
        if kind != cls.type_name:
            raise ValueError(f'`type` must be "{cls.type_name}". Received: {kind!r}.')
        if isinstance(config.get("embedding_layer"), Mapping):
            config["embedding_layer"] = keras.saving.deserialize_keras_object(
                config["embedding_layer"], custom_objects=custom_objects
            )
        return cls(**config)


def _places(sequence_ids: Any) -> tuple[Any, Any]:
    """Where the sequences of packed rows stand.

    Args:
        sequence_ids: integers `[batch, seq_length]`, equal for the tokens of a sequence.

    Returns:
        float32 `[batch, seq_length, seq_length]`, 1 where two tokens are of one sequence; and int32
        `[batch, seq_length]`, the place of each token in its sequence, from 0.
    """
    same = sequence_ids[:, :, None] == sequence_ids[:, None, :]
    # In float32, which is exact here: GPUs have no reduction of int32 in TensorFlow.
    places = keras.ops.arange(keras.ops.shape(sequence_ids)[1], dtype="float32")
    starts = keras.ops.min(keras.ops.where(same, places, math.inf), axis=-1)
    return keras.ops.cast(same, "float32"), keras.ops.cast(places - starts, "int32")


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertEncoderV2(BertEncoder):
    """A `BertEncoder` that returns a dictionary, as tensorflow/models' `BertEncoderV2`.

    Args:
        vocab_size: number of entries in the vocabulary.
        **kwargs: arguments of `BertEncoder`. `dict_outputs` and `return_all_encoder_outputs` are ignored.
    """

    def __init__(self, vocab_size: int, **kwargs: Any) -> None:
        kwargs.pop("return_all_encoder_outputs", None)
        super().__init__(vocab_size, **{**kwargs, "dict_outputs": True})
