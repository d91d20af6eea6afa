"""A layer from strings to an encoder's inputs."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

import keras
import tensorflow as tf

from pipeline import files
from pipeline.errors import ConfigError, InputError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers import Tokenizer, load_tokenizer, make_tokenizer

_LEAST_LENGTH = 3  # A token between [CLS] and [SEP].
_DESCRIPTIONS = ("tokenizer_description.json", "tokenizer.json")  # The former if the vocabulary has the latter name.


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class TextInput(keras.layers.Layer):
    """Tokenizes strings within a model, to the same ids as this project's tokenizers: `[CLS] text [SEP]`.

    It needs tensorflow-text, and is saved with its vocabulary in `.keras` files and SavedModels. Programs that load
    such a SavedModel must import `tensorflow_text` first. Strings are tokenized on the CPU; in training, map a dataset
    with the layer, so that it works ahead of the model.

    ```python
    text_input = TextInput.from_folder("out/encoder", max_length=128)
    inputs = text_input(tf.constant(["Paris is the capital.", ""]))
    inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"]  # int32 [2, 7] each.
    ```

    Args:
        vocabulary: the bytes of a WordPiece vocabulary or a SentencePiece model.
        lower_case: whether to lower-case text and strip accents; None decides by the vocabulary's entries.
        max_length: most tokens of a text, [CLS] and [SEP] included, at least 3; the rest is cut off. None keeps all.
        pad_to_max: whether every batch has `max_length` tokens a row, instead of those of its longest text.
        with_masks: whether "[MASK]" in a text is the special token, and not text like any other.
        **kwargs: further arguments of `keras.layers.Layer`.

    Call arguments:
        texts: strings, `[batch]` or `[batch, 1]`, in UTF-8; invalid bytes are treated as U+FFFD.

    Returns:
        `input_word_ids`, `input_mask` and `input_type_ids`, which are zeros: int32 `[batch, seq_length]`.

    Raises:
        VocabularyError: if the vocabulary is malformed.
        ConfigError: if the vocabulary is a tokenizer.json, for which tensorflow-text has no operation, or an option is
            out of range.
    """

    def __init__(
        self,
        vocabulary: bytes,
        *,
        lower_case: bool | None = None,
        max_length: int | None = None,
        pad_to_max: bool = False,
        with_masks: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_length is not None and max_length < _LEAST_LENGTH:
            raise ConfigError(f"max_length must be at least {_LEAST_LENGTH}", received=max_length)
        if pad_to_max and max_length is None:
            raise ConfigError("pad_to_max needs a max_length", received=None)
        from pipeline.training.text_ops.exact import text_ops

        tokenizer = make_tokenizer(vocabulary, lower_case=lower_case)
        self._ops = text_ops(tokenizer)
        self._vocabulary = vocabulary
        self.lower_case = tokenizer.lower_case
        self.max_length = max_length
        self.pad_to_max = pad_to_max
        self.with_masks = with_masks
        self.supports_jit = False  # XLA has no strings.
        self._convert_input_args = False  # To numbers.
        self._allow_non_tensor_positional_args = True
        self.built = True

    @classmethod
    def from_folder(cls, folder: str, **options: Any) -> TextInput:
        """Makes the layer of an exported encoder, compared with its tokenizer on text that is hard to cut.

        Args:
            folder: what `export --format encoder` wrote.
            **options: further arguments of the layer, such as `max_length`.

        Raises:
            InputError: if there is no description of a tokenizer.
            VocabularyError: if tensorflow-text does not cut text as the tokenizer does.
            ConfigError: as for the layer.
        """
        from pipeline.training.text_ops.exact import check_text_ops

        tokenizer, vocabulary = _read_tokenizer(folder)
        layer = cls(vocabulary, lower_case=tokenizer.lower_case, **options)
        check_text_ops(layer._ops, tokenizer)
        return layer

    def call(self, texts: Any) -> dict[str, tf.Tensor]:
        """The encoder's inputs for a batch of texts."""
        from pipeline.training.text_ops.base import model_inputs

        texts = tf.reshape(tf.convert_to_tensor(texts), [-1])
        with tf.device("cpu"):
            ids = self._ops.tokenize_with_masks(texts) if self.with_masks else self._ops.tokenize(texts)
            return model_inputs(ids, self._ops.special_ids, self.max_length, pad_to_max=self.pad_to_max)

    def compute_output_spec(self, texts: Any) -> dict[str, keras.KerasTensor]:
        """The shapes of the outputs; Keras cannot find them by calling the layer, which takes strings."""
        shape = (texts.shape[0], self.max_length if self.pad_to_max else None)
        names = ("input_word_ids", "input_mask", "input_type_ids")
        return {name: keras.KerasTensor(shape, "int32", name=name) for name in names}

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the vocabulary in base64."""
        return {
            **super().get_config(),
            "vocabulary": base64.b64encode(self._vocabulary).decode(),
            "lower_case": self.lower_case,
            "max_length": self.max_length,
            "pad_to_max": self.pad_to_max,
            "with_masks": self.with_masks,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TextInput:
        """The layer of what `get_config` returned."""
        return cls(**{**config, "vocabulary": base64.b64decode(config["vocabulary"])})


def _read_tokenizer(folder: str) -> tuple[Tokenizer, bytes]:
    """The tokenizer of an exported encoder, and the bytes of its vocabulary."""
    join = functools.partial(files.join, folder)
    for path in map(join, _DESCRIPTIONS):
        if files.exists(path):
            described = json.loads(files.read(path))
            if "vocab_file" in described:
                description = TokenizerDescription(**described)
                return load_tokenizer(description, folder), files.read(join(description.vocab_file))
    raise InputError(
        f"{folder} must be an exported encoder, with {_DESCRIPTIONS[1]}, which describes its tokenizer",
        do="Export it: mlm-pipeline export --format encoder",
    )
